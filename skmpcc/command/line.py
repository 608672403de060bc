"""The command line: what it takes, and how it ends."""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

from skmpcc.command.checking import check_cluster, check_predict
from skmpcc.command.reading_options import SEPARATORS, THOUSANDS
from skmpcc.command.telling import Unfailing, say, sentence
from skmpcc.command.values import n_clusters_of, outlier_fraction_of

_DESCRIPTION = """Cluster the samples of a file, or of scikit-learn's digits, and show how it went.

`%(prog)s predict MODEL DATA` gives the clusters of other samples by a fitted model.
"""


def run(arguments: list[str], interruptions: Sequence[int] = ()) -> int:
    """Run the command line; returns the exit status, 0 or 2.

    An error is raised instead of printed if `interruptions` holds anything by then.
    """
    with (
        _lenient(sys.stdout),
        _lenient(sys.stderr),
        redirect_stdout(Unfailing(sys.stdout)),
        redirect_stderr(Unfailing(sys.stderr)),
    ):
        try:
            predicts = arguments[:1] == ["predict"]
            if predicts:
                options = _predict_parser().parse_args(arguments[1:])
            else:
                options = _parser().parse_args(arguments)
            (check_predict if predicts else check_cluster)(options)
            # What is wrong of arguments and paths is reported before these imports, which take seconds.
            from skmpcc.command.predicting import predict
            from skmpcc.command.run import cluster

            if interruptions:  # which a module took for an error of its own
                raise KeyboardInterrupt
            if predicts:
                predict(options, interruptions)
            else:
                cluster(options)
        except Exception as error:
            if interruptions:
                raise
            if os.environ.get("SKMPCC_TRACEBACK"):
                traceback.print_exc()
            say(f"error: {sentence(error)}", sys.stderr)
            return 2
    return 0


@contextmanager
def _lenient(stream: object) -> Iterator[None]:
    """Context manager that replaces characters that a stream cannot print."""
    with ExitStack() as stack:
        if isinstance(stream, io.TextIOWrapper):
            stack.callback(stream.reconfigure, errors=stream.errors)
            stream.reconfigure(errors="backslashreplace")
        yield


def _called() -> str:
    """Name by which the command was called."""
    return "skmpcc" if Path(sys.argv[0]).stem == "skmpcc" else "python -m skmpcc"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_called(),
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_data(parser, nargs="?", more=" (default: scikit-learn's digits)")
    _add_parameters(parser)
    parser.add_argument(
        "--output",
        type=Path,
        help="a folder for labels.csv, model.safetensors, clusters.png and report.html, or a .png file "
        "for the picture alone (default: results, without DATA clusters.png)",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")
    parser.add_argument(
        "--columns",
        nargs="+",
        metavar="COLUMN",
        help="columns of a table to use (default: all of numbers, truth values and text of few values, "
        "except those that number or name the rows)",
    )
    parser.add_argument(
        "--label-column",
        metavar="COLUMN",
        help="column of a table with known classes, which is left out of the fit and compared with the "
        "clusters (for an .npz file the name of an array; default: y, if there is one)",
    )
    parser.add_argument(
        "--impute",
        choices=["median"],
        help="what replaces missing numbers (default: nothing; gaps are taken as they are)",
    )
    parser.add_argument(
        "--image-shape",
        nargs="+",
        type=int,
        metavar="SIDE",
        help="height and width, and channels if any, of images that are rows of DATA",
    )
    return parser


def _add_parameters(parser: argparse.ArgumentParser) -> None:
    """Add parameters of the estimator."""
    parser.add_argument(
        "--n-clusters",
        type=n_clusters_of,
        metavar="NUMBER",
        help="number of clusters, or auto to find one (default: auto; 10 for the digits)",
    )
    parser.add_argument(
        "--estimator",
        choices=["mpcc", "vade"],
        default="mpcc",
        help="mpcc: MPCCClusterer (default); vade: VaDEClusterer, which takes less time and "
        "reconstructs better, while new samples are smoother",
    )
    parser.add_argument(
        "--outlier-fraction",
        type=outlier_fraction_of,
        metavar="SHARE",
        help="share of rows that belong nowhere and get the label -1, at most 0.5, or auto to find one "
        "(default: every row belongs to a cluster)",
    )
    parser.add_argument(
        "--labels-only",
        action="store_true",
        help="end as soon as the labels have settled: much faster, but new samples and the column "
        "score_samples are poor",
    )
    parser.add_argument("--random-state", type=int, default=0)
    parser.add_argument("--max-iter", type=int, help="default: the preset's")


def _predict_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{_called()} predict", description="Give the clusters of samples by a fitted model."
    )
    parser.add_argument("model", type=Path, metavar="MODEL", help="a file model.safetensors")
    _add_data(parser, more=", or a folder of such files, which are predicted one by one")
    parser.add_argument(
        "--output",
        type=Path,
        help="a file for the labels (default: labels.csv), or of a folder of tables or arrays a folder, "
        "where the labels of a.parquet are a.parquet.labels.csv (default: labels)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="overwrite existing files; of a folder of tables or arrays, files that have labels "
        "already are left out without it",
    )
    return parser


def _add_data(parser: argparse.ArgumentParser, nargs: str | None = None, more: str = "") -> None:
    parser.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        nargs=nargs,
        help="a file .csv, .tsv, .parquet, .npy or .npz (its array X), or a folder of PNG or JPEG images"
        + more,
    )
    parser.add_argument(
        "--no-header", action="store_true", help="the first line of a .csv or .tsv is a sample"
    )
    parser.add_argument(
        "--separator",
        choices=list(SEPARATORS),
        help="what stands between the columns of a .csv or .tsv (default: found by the first lines)",
    )
    parser.add_argument(
        "--decimal", choices=[".", ","], help="decimal point in a .csv or .tsv (default: .)"
    )
    parser.add_argument(
        "--thousands",
        choices=list(THOUSANDS),
        metavar="MARK",
        help="what separates thousands in a .csv or .tsv, one of , . ' and a blank (default: found by "
        "the numbers, with a warning)",
    )
    parser.add_argument(
        "--na-values",
        nargs="+",
        action="extend",
        metavar="VALUE",
        help="what stands for missing values in a .csv or .tsv, in addition to an empty field, NA, NaN "
        "and the like",
    )
    parser.add_argument(
        "--skip-rows",
        type=int,
        metavar="N",
        help="how many lines come before the table in a .csv or .tsv (default: found by the first "
        "lines, with a warning)",
    )
    parser.add_argument("--encoding", help="encoding of a .csv or .tsv, such as cp1252 (default: UTF-8)")
