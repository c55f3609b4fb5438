"""Numbers as text: as many digits as their interval supports, one minus sign, units of thousands and millions."""

import math

DASH = "–"
_UNITS = ((1e6, 1e6, "M"), (1e4, 1e3, "k"))  # from which number on, unit, its letter
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value, bounds=None):
    """A metric, to the digits that its 95 % interval supports.

    The interval is ten to a hundred steps of the last digit wide. Without an interval: three decimals, fewer for large
    numbers.

    >>> [number(v) for v in (0.12345, -0.0004, -0.5, 12.345, 1234.5, None)]
    ['0.123', '0.000', '−0.500', '12.3', '1,234', '–']
    >>> number(0.3512, (0.204, 0.481)), number(0.3512, (0.3441, 0.3601)), number(102.4, (85.3, 125.9))
    ('0.35', '0.351', '102')
    >>> number(1234567.8, (1.1e6, 1.4e6)), number(3.4e12), number(45678.9)
    ('1.23M', '3.4×10¹²', '45.7k')
    """
    if value is None or not math.isfinite(value):
        return DASH
    if abs(value) >= 1e9:
        exponent = math.floor(math.log10(abs(value)))
        return with_minus(f"{value / 10**exponent:.1f}×10{str(exponent).translate(_RAISED)}")
    for smallest, unit, letter in _UNITS:
        if abs(value) >= smallest:
            digits = max(0, 2 - math.floor(math.log10(abs(value) / unit)))
            scaled = bounds and [bound / unit for bound in bounds]
            return with_minus(f"{value / unit:,.{decimals(scaled, digits)}f}{letter}")
    digits = 3 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return with_minus(f"{value:z,.{decimals(bounds, digits)}f}")


def interval(bounds, support=None):
    """`low to high`, to the digits that the interval itself supports, or another one (of its column in a table).

    >>> interval((-0.1234, 0.3456)), interval((1.1e6, 1.45e6)), interval(None), interval((-1.23, 0.31), (0.1, 0.3))
    ('−0.12 to 0.35', '1.10M to 1.45M', '–', '−1.23 to 0.31')
    """
    if bounds is None or not all(map(math.isfinite, bounds)):
        return DASH
    return " to ".join(number(bound, support or bounds) for bound in bounds)


def decimals(bounds, most=3):
    """How many decimals an interval supports: `most` or fewer."""
    width = bounds[1] - bounds[0] if bounds is not None else 0
    if not (math.isfinite(width) and width > 0):
        return most
    return min(most, max(0, 1 - math.floor(math.log10(width))))


def short(value):
    """A quantity in a sentence: three significant digits, or the whole part up to a million.

    >>> [short(v) for v in (0.0, 1.6543, 59.0, -12.34, 12345.6, 1234567)]
    ['0', '1.65', '59', '−12.3', '12,346', '1.23M']
    """
    if abs(value) >= 1e6:
        return number(value)
    return with_minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}")


def percent(share):
    """A share in percent, without decimals.

    >>> percent(0.654)
    '65\\xa0%'
    """
    return f"{100 * share:.0f}\xa0%"


def with_minus(text):
    """A number's text with a minus sign in place of its hyphen."""
    return text.replace("-", "−")


def dates(first, last):
    """A day, or from one day to another; both may be unknown.

    >>> dates("2024-03-01T00:00", "2024-03-01T09:00"), dates("2024-03-01", "2024-04-02"), dates(None, None)
    ('2024-03-01', '2024-03-01 to 2024-04-02', 'on an unknown day')
    """
    if first is None:
        return "on an unknown day"
    first, last = first[:10], last[:10]
    return first if first == last else f"{first} to {last}"
