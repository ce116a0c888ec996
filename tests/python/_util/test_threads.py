"""What several threads share of torch: its one generator."""

from __future__ import annotations

import threading

import torch

from massgraph._util.threads import lent_generator


def drawn(seed: int) -> list[float]:
    with lent_generator(seed):
        return torch.rand(3).tolist()


def test_the_generator_is_seeded_and_given_back() -> None:
    before = torch.get_rng_state()
    assert drawn(1) == drawn(1) != drawn(2)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_a_seed_it_goes_on_from_where_it_was() -> None:
    before = torch.get_rng_state()
    with lent_generator():
        first = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng(devices=[]):
        assert torch.equal(torch.rand(3), first)


def test_threads_take_turns() -> None:
    """A thread that seeds the generator while another draws would change what that one draws."""
    expected, found = drawn(1), []
    inside, other = threading.Event(), threading.Thread(target=lambda: found.append(drawn(2)))
    with lent_generator(1):
        first = torch.rand(1).tolist()
        other.start()
        inside.wait(0.2)  # time enough for the other, if it did not wait
        assert found == []
        assert first + torch.rand(2).tolist() == expected
    other.join()
    assert found == [drawn(2)]
