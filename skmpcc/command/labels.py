"""The text of labels.csv."""

import csv
import io
import unicodedata
from typing import Any

import numpy as np

from skmpcc.clusterer import MPCCClusterer
from skmpcc.command.telling import printable


def labels_text(clusterer: MPCCClusterer, X: Any, files: list[str] | None) -> bytes:
    """Write label, its membership and score of each sample; a sample of no cluster has -1 and 0."""
    scores, labels = clusterer.score_samples(X), clusterer.predict(X)
    memberships = clusterer.predict_proba(X)[np.arange(len(labels)), np.maximum(labels, 0)]
    memberships = np.where(labels < 0, 0.0, memberships)
    text = io.StringIO()
    # Names may hold whatever ends a field for some program or other.
    writer = csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_MINIMAL if files is None else csv.QUOTE_ALL
    )
    writer.writerow(["row" if files is None else "file", "label", "membership", "score_samples"])
    for i, label in enumerate(labels.tolist()):
        name = i if files is None else _harmless(printable(files[i]))
        writer.writerow([name, label, f"{memberships[i]:.6f}", f"{scores[i]:.6g}"])
    return text.getvalue().encode()


def _harmless(name: str) -> str:
    """Return a name that no spreadsheet takes for a formula, whatever blanks are before it."""
    # Signs of full width are made usual ones by that.
    shown = unicodedata.normalize("NFKC", name)
    first = next((each for each in shown if unicodedata.category(each)[0] not in "CZ"), "")
    return f"'{name}" if first in set("=+-@") or name[:1] in set("\t\r\n") else name
