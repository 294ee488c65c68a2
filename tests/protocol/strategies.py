"""Hypothesis strategies for JSON and events."""

from hypothesis import strategies as st

INTEGER_MAX = 2**53 - 1

# Text and keys prone to be mistaken for structure.
_TEXT = st.text(max_size=12) | st.sampled_from(
    ['":', ":", "{", '"', "\\", "\x00", " :"]
)

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-INTEGER_MAX, max_value=INTEGER_MAX)
    | _TEXT,
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(_TEXT, children, max_size=4)
    ),
    max_leaves=12,
)
JSON_OBJECTS = st.dictionaries(_TEXT, JSON_VALUES, max_size=5)
