"""Texts that are dates, times or durations."""

import re

_TIME = r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?(\s*[ap]\.?m\.?)?(\s*(z|utc|gmt|[+-]\d{2}:?\d{2}))?"
_MONTH = (
    r"(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|"
    r"nov(ember)?|dec(ember)?)\.?"
)
_DAY = r"\d{1,2}(st|nd|rd|th)?\.?"
_DATES = (
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}",
    r"\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})",
    r"\d{4}-(0[1-9]|1[0-2])",
    rf"{_DAY}[\s-]*{_MONTH}[\s,-]*(\d{{4}}|\d{{2}})",
    rf"{_MONTH}\s*{_DAY},?\s*\d{{4}}",
    rf"{_MONTH}[\s-]*(\d{{4}}|\d{{2}})",
)
_WEEKDAY = r"((mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?[.,]?\s+)?"
_DATE = re.compile(
    rf"{_WEEKDAY}({'|'.join(_DATES)})([t\s,]+{_TIME})?|{_TIME}|-?\d+\s+days?,?\s+[+-]?{_TIME}",
    re.IGNORECASE,
)


def is_date(text: str) -> bool:
    """Whether a text is a date, a month of a year, a time, or a duration in days and hours."""
    return _DATE.fullmatch(text.strip()) is not None
