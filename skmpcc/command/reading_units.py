"""Units of measurement, as they stand below the names of columns."""

import re

# Units of one letter, and those that are one letter with a prefix, by which no other short words are
# taken for units.
_SHORT = re.compile(
    "m|g|s|h|d|A|V|W|K|N|J|C|L|t|Ω|nm|µm|um|mm|cm|dm|km|MM|CM|KM|Mm|Cm|Km|pg|ng|µg|ug|mg|kg|MG|"
    "KG|Mg|Kg|ps|ns|µs|ms|nA|µA|mA|kA|MA|µV|mV|kV|MV|KV|mW|kW|MW|GW|KW|mJ|kJ|MJ|GJ|mN|kN|MN|mK|"
    "µL|uL|mL|cL|dL|hL|ul|ml|cl|dl|hl|ML|mC|µC|pF|nF|µF|uF|nT|µT|mT|kt|Mt|mH|µH|µS|mS|nM|µM|uM|"
    "mM|kΩ|MΩ|mΩ|kB|MB|GB|TB"
)
_LONG = re.compile(
    r"([pnµumcdhkgt]|da)?(mol|pa|hz|bar|wh|ev|cal|ohm|sv|gy|bq|lx|lm|rad|va|var|bit|byte|bps|kat|molar|"
    r"met(er|re)|gram|gramme|lit(er|re)|volt|watt|joule|newton|pascal|hertz|amp|ampere|tonne)s?"
)
# Words with or without an s at their end.
_WORDS = re.compile(
    "("
    "ha|ac|acre|cd|mi|ft|ft2|in|inch|foot|feet|yd|yard|mile|oz|lb|ounce|pound|stone|gal|gallon|"
    "pt|psi|atm|torr|mmhg|inhg|kmh|kph|mph|knot|kn|kt|rpm|bpm|fps|hp|btu|sec|min|hr|deg|degc|"
    "degf|degree|celsius|fahrenheit|kelvin|arcmin|arcsec|sr|db|dba|dbm|ppm|ppb|ppt|ppmv|ppbv|psu|"
    "ntu|fnu|pct|percent|percentage|permille|ph|iu|miu|cfu|eq|meq|mosm|mosmol|osmol|dalton|da|"
    "kda|px|pixel|dpi|pcs|stk|stück|dimensionless|unitless|eur|euro|usd|dollar|gbp|chf|jpy|cny|"
    r"cent|mio|mio\.|mrd|tsd|prozent|gcos|cfs|cms|cumec|mgd|gpm|dbh|angstrom|å|micron|au|ly|pc|"
    "kpc|mpc|dw|fw"
    ")s?"
)
# Words of which the singular is a name rather than a unit.
_PLURALS = re.compile(
    "years|yrs|yr|months|weeks|wks|days|hours|minutes|seconds|decades|centuries|inches|counts|"
    "items|points|cells|people|persons|inhabitants|jahre|jahren|monate|tage|stunden|sekunden|"
    "einwohner|ans|jours"
)
_EXPONENT = re.compile(r"(\^?[+\-−]?\d+|[⁺⁻⁰¹²³⁴-⁹]+)$")
_SIGNS = re.compile(r"[%‰°µμΩ€$£¥₹]")
# Values as "<0.5", "-" and "12 %" are none.
_NO_UNIT = re.compile(r"(?!10?[\^/²³⁴-⁹])[\d<>≤≥~#?+.,=-]")


def is_unit(text: str) -> bool:
    """Whether a text is a unit: one in brackets, a sign, or known words and symbols."""
    text = text.strip().replace("\N{GREEK SMALL LETTER MU}", "µ")
    if not text or _NO_UNIT.match(text):
        return False
    if text[0] + text[-1] in ("[]", "()") or _SIGNS.search(text):
        return True
    factors = [each for each in re.split(r"[/·*×⋅\s]|\bper\b|(?<=\w)\.(?=\w)", text) if each]
    known = [_is_factor(each) for each in factors]
    # What is counted may be anything, as in cells/mL.
    by_other = "/" in text and any(
        one and len(each) > 1 for one, each in zip(known, factors, strict=True)
    )
    return bool(known) and (all(known) or by_other)


def _is_factor(text: str) -> bool:
    if re.fullmatch(r"10\^?-?\d+|1|10[²³⁴-⁹]", text):
        return True
    for each in (text, _EXPONENT.sub("", text)):
        small = each.casefold()
        if _SHORT.fullmatch(each) or any(p.fullmatch(small) for p in (_LONG, _WORDS, _PLURALS)):
            return True
    return False
