"""The demo says why codes are ahead of the floats behind them, and only where they are."""

from deephash.cli.demo import why_codes_win


def rows(codes, floats):
    return [
        ("OrthoHash", "used", "codes, network trained with them", codes),
        ("float cosine", "used", "512 features of its network, 16,384 bits", floats),
    ]


def test_the_reason_names_the_figures():
    said = why_codes_win(rows([0.97, 0.992, 0.99], [0.951] * 3))
    assert said.startswith("Why 32 bits (0.992) are ahead of the 512 features of its network they come from (0.951)")
    assert all(len(line) <= 120 for line in said.splitlines())


def test_no_reason_is_given_for_what_is_not_so():
    assert why_codes_win(rows([0.90, 0.91, 0.92], [0.95] * 3)) is None
