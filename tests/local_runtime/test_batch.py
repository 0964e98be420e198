from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from embedway_local.batch import even_share, plan

lengths = st.lists(st.integers(0, 300), max_size=200)
budgets = st.integers(1, 2000)


@given(lengths, budgets)
def test_every_text_is_in_exactly_one_batch(lengths: list[int], budget: int) -> None:
    batches = plan(lengths, budget)

    assert list(range(len(lengths))) == sorted(index for batch in batches for index in batch)
    assert all(batches)


@given(lengths, budgets)
def test_no_batch_exceeds_the_budget_but_of_one_text(lengths: list[int], budget: int) -> None:
    for batch in plan(lengths, budget):
        padded = len(batch) * max(lengths[index] for index in batch)

        assert padded <= budget or len(batch) == 1


@given(lengths, budgets, st.integers(1, 200_000))
def test_a_batch_is_bounded_by_the_square_of_its_length_too(
    lengths: list[int], budget: int, squares: int
) -> None:
    batches = plan(lengths, budget, squares)

    assert list(range(len(lengths))) == sorted(index for batch in batches for index in batch)
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        fits = len(batch) * longest <= budget and len(batch) * longest**2 <= squares
        assert fits or len(batch) == 1


@given(lengths, budgets)
def test_batches_go_from_long_to_short(lengths: list[int], budget: int) -> None:
    """So that a batch's padding is the least, and the last batch to end is a short one."""
    order = [lengths[index] for batch in plan(lengths, budget) for index in batch]

    assert sorted(lengths, reverse=True) == order


@given(lengths, budgets)
def test_no_two_neighbours_would_fit_into_one_batch(lengths: list[int], budget: int) -> None:
    batches = plan(lengths, budget)
    for batch, following in pairwise(batches):
        longest = max(1, *(lengths[index] for index in batch))

        assert (len(batch) + 1) * longest > budget
        assert following


@given(st.integers(0, 5000), budgets, st.integers(1, 64))
def test_an_even_share_is_enough_for_all_and_never_above_the_budget(
    total: int, budget: int, callers: int
) -> None:
    share = even_share(total, budget, callers)

    assert 1 <= share <= budget
    assert share == budget or share * callers >= total


def test_few_texts_are_spread_over_all_cores_and_many_are_not_cut_smaller() -> None:
    lengths = [40] * 8

    assert 2 == len(plan(lengths, even_share(sum(lengths), 384, 2)))
    assert 384 == even_share(100_000, 384, 2)
