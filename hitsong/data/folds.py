"""Folds of cross-fitting: parts of the artists, each of which tests once.

While one fold tests, the next one validates and the others train. A column `folds_<k>` of the frozen splits holds the
number of each track's fold, 1 to k, or `excluded`; `fold-1`, `fold-2`, ... are the sides of the tracks while each of
the folds tests.
"""

from hitsong.errors import UserError

EXCLUDED = "excluded"
_PREFIX = "folds_"


def column(count):
    """The column of the frozen splits that holds `count` folds."""
    return f"{_PREFIX}{count}"


def counts(table):
    """The numbers of folds that a table of splits has columns for."""
    return [int(name.removeprefix(_PREFIX)) for name in table if name.startswith(_PREFIX)]


def with_sides(schemes, table, count):
    """Add to `schemes` the fold of each track (`fold`), and its side while each of the folds tests (`fold-1`, ...).

    Parameters
    ----------
    schemes : pd.DataFrame
    table : pd.DataFrame
        The frozen splits, in the same order.
    count : int
        Of the folds; 0 adds nothing.

    Returns
    -------
    pd.DataFrame
    """
    for number in range(1, count + 1):
        sides = {str(other): "train" for other in range(1, count + 1)}
        sides |= {str(number % count + 1): "validation", str(number): "test", EXCLUDED: EXCLUDED}
        schemes = schemes.assign(
            fold=table[column(count)], **{f"fold-{number}": table[column(count)].map(sides)}
        )
    return schemes


def names(tracks):
    """The columns of `with_sides` that hold sides, in the order of the folds; none for a single split."""
    return [name for name in tracks if name.startswith("fold-")]


def require(table, count):
    """Check that no fold is empty.

    Raises
    ------
    UserError
    """
    used = table.loc[table[column(count)] != EXCLUDED, column(count)].nunique()
    if used < count:
        raise UserError(
            f"evaluate.folds {count}: {len(table)} tracks in {table['group'].nunique()} groups that share no artist "
            f"fill only {used} folds; choose fewer folds, or collect more artists"
        )
