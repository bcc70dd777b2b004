"""Pure: the words and marks that loggers write where a temperature should be."""

import re
import unicodedata
from decimal import Decimal
from typing import Final

_NO_VALUE: Final = frozenset(
    {"n/a", "na", "n.a.", "nan", "null", "none", "nil", "no data", "no reading", "no value", "missing"}
    | {"kein wert", "keine daten", "pas de donnee", "sans valeur", "sin datos", "sin valor", "nessun dato"}
    | {
        "geen data",
        "geen waarde",
        "invalid",
        "ungultig",
        "invalide",
        "invalido",
        "ongeldig",
        "k.a.",
        "n.v.t.",
    }
)
_NO_PROBE: Final = frozenset(
    {"open", "short", "err", "error", "fault", "ol", "+ol", "-ol", "o.l.", "over", "under", "disconnected"}
    | {"not connected", "lo", "hi", "low", "high", "inf", "-inf", "+inf", "burnout", "b.out", "s.cct", "o.c."}
    | {"offen", "ouvert", "abierto", "aperto", "fehler", "erreur", "errore", "fout", "defekt", "faulty"}
    | {"nicht angeschlossen", "nicht verbunden", "uberlauf", "unterlauf", "overflow", "underflow", "broken"}
)
_PROBE: Final = (
    r"f\S{0,6}hler|sensor|sond[ae]|probe|thermo|termo|\brtd\b|\bpt ?1000?\b|circuit|leitung|draht|kabel"
)
_FAULT: Final = (
    r"bru[ck]|break|broke|burn|fault|fail|fehl|error|errore|erreur|defe[ck]t|defaut|panne|rupt|rott|guast|\brota\b"
    r"|averi|abiert|coup|open|offen|ouvert|apert|short|schlu|sluit|court|cort[oa]|disconn|deconn|descon|scolleg|unplug|getrennt"
    r"|missing|absent|lost|unterbr|breuk|fout|\bnot?\b|\bkein|\bsans\b|\bsin\b|\bsenza\b|\bgeen\b|nicht|invalid"
)
_PROBE_FAULT: Final = re.compile(rf"(?=.*(?:{_PROBE}))(?=.*(?:{_FAULT})).*")
_OUT_OF_RANGE: Final = re.compile(
    r"(?:out of|over|under|above|below)[ -]?range|(?:ausser(?:halb)?|uber|unter) ?(?:dem |des )?mess?bereichs?"
    r"|messbereichs?(?:uber|unter)schreitung|hors (?:plage|gamme|limites?)|fuera de rango|fuori (?:scala|range|campo)"
    r"|buiten bereik|kurzschluss|kortsluiting|court[- ]circuit|corto ?circuito|unterbrechung|unterbruch"
    r"|(?:err(?:or)?|fehler|erreur|errore|fout)[ .:#-]*\d{1,4}|e[ -]?\d{1,2}"
    r"|[<>≤≥]\s*[+-]?\d+(?:[.,]\d*)?\s*(?:°?[cfk])?"
)
_SENTINELS: Final = frozenset(
    map(
        Decimal,
        ("-999", "-999.9", "-9999", "-99999", "999", "999.9", "9999", "99999", "850", "1000", "-1000"),
    )
) | frozenset(
    map(Decimal, ("327.67", "-327.68", "3276.7", "-3276.8", "32767", "-32767", "-32768", "655.35", "65535"))
)
_SUMMARIES: Final = frozenset(
    {
        "min",
        "max",
        "avg",
        "mean",
        "minimum",
        "maximum",
        "average",
        "mkt",
        "highest",
        "lowest",
        "std",
        "median",
    }
    | {
        "mittel",
        "mittelwert",
        "durchschnitt",
        "moyenne",
        "media",
        "promedio",
        "gemiddelde",
        "summary",
        "total",
    }
    | {
        "minimal",
        "maximal",
        "minimo",
        "massimo",
        "maximo",
        "stdev",
        "std dev",
        "standard deviation",
        "hochst",
    }
)
_DASHES: Final = str.maketrans({"−": "-", "–": "-", "—": "-", "\u00a0": " ", "\u202f": " "})


def plain(text: str) -> str:
    """Return a text in lower case, without accents, and with single spaces."""
    letters = unicodedata.normalize("NFKD", text.translate(_DASHES).casefold())
    letters = "".join(c for c in letters if not unicodedata.combining(c)).casefold()
    return " ".join(letters.replace("_", " ").split())


def is_missing(cell: str) -> bool:
    """Whether a cell says that there is no value or no sound probe: in words, by marks, or as out of range."""
    word = plain(cell)
    return bool(word) and (
        word in _NO_VALUE
        or word in _NO_PROBE
        or set(word) <= set("-#*?. ")
        or _OUT_OF_RANGE.fullmatch(word) is not None
        or (not word[0].isdigit() and _PROBE_FAULT.fullmatch(word) is not None)
    )


def is_sentinel(value: Decimal) -> bool:
    """Whether a number is one that loggers write for no value, if no probe could read it."""
    return value in _SENTINELS


def is_summary(cell: str) -> bool:
    """Whether a cell names a figure of the whole file, such as its minimum."""
    return plain(cell).rstrip(" .:") in _SUMMARIES
