"""The table of commands, in the order of the help. A new one is a file here and a line below."""

from massgraph.cli.commands.benchmark import BENCHMARK
from massgraph.cli.commands.demo import DEMO
from massgraph.cli.commands.evaluate import EVALUATE
from massgraph.cli.commands.explain import EXPLAIN
from massgraph.cli.commands.fit import FIT
from massgraph.cli.commands.predict import PREDICT
from massgraph.cli.commands.segment import SEGMENT
from massgraph.cli.commands.validate import VALIDATE

__all__ = ["COMMANDS"]

COMMANDS = (DEMO, VALIDATE, SEGMENT, FIT, PREDICT, EXPLAIN, EVALUATE, BENCHMARK)
