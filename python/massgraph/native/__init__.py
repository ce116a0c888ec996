"""The compiled part: its C++ sources, and how Python reaches what was built of them."""
