"""`seminar-tf prepare`: published datasets as canonical tables."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _from_to(source: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options of every adapter; `source` says what --src is."""
    options = (
        click.option("--src", required=True, type=click.Path(path_type=Path), help=source),
        click.option("--out", required=True, type=click.Path(path_type=Path), help="Where to write the dataset."),
        click.option("--overwrite", is_flag=True, help="Replace a dataset that is already there."),
    )

    def add(adapter: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            adapter = option(adapter)
        return adapter

    return add


@click.group(name="prepare")
def command() -> None:
    """Turn a published dataset into the canonical tables (docs/data.md)."""


@command.command()
@_from_to("The folder as published, unpacked.")
@click.option(
    "--tags",
    type=click.Choice(["history", "target", "none"]),
    default="history",
    show_default=True,
    help="Tags become queries: as history only, as targets too, or not at all.",
)
@click.option(
    "--vectors", nargs=2, type=_FILE, metavar="IDS VECTORS", help="The .npy of movie ids and the .npy of image vectors."
)
@click.option("--no-vectors", is_flag=True, help="Use no image vectors, even where there are some.")
@click.option("--texts", type=_FILE, help="JSON file: movie id -> text.")
@click.option("--no-texts", is_flag=True, help="Use no texts, even where there are some.")
def movielens(
    src: Path,
    out: Path,
    overwrite: bool,
    tags: str,
    vectors: tuple[Path, Path] | None,
    no_vectors: bool,
    texts: Path | None,
    no_texts: bool,
) -> None:
    """Read a MovieLens folder: latest-small or 1M layout.

    Ratings become browse events. Tags become search events ("tag as query"): the closest thing to a search there,
    and no search log. Image vectors (*_ids.npy and one other .npy) and texts (one *.json) are used where found.
    """
    if vectors and no_vectors:
        raise click.UsageError("--vectors and --no-vectors exclude each other.")
    if texts and no_texts:
        raise click.UsageError("--texts and --no-texts exclude each other.")
    from seminar_tf.data import movielens as adapter

    summary = adapter.prepare(
        src,
        out,
        overwrite=overwrite,
        tags=tags,
        vectors=vectors or None,
        texts=texts,
        find_vectors=not no_vectors,
        find_texts=not no_texts,
    )
    figures = {name.replace("_", " "): summary[name] for name in ("users", "ratings", "tags", "image_vectors", "texts")}
    _show(summary, src, out, figures)
    if summary["tags"]:
        _console().print(
            f"{summary['tags']:,} tags written as search events ({summary['tags_note']}).", highlight=False
        )


@command.command()
@_from_to("The unpacked folder of KuaiSAR's files.")
@click.option("--unclicked", is_flag=True, help="Keep what was shown and not clicked, as history only.")
@click.option(
    "--label",
    "labels",
    multiple=True,
    type=click.Choice(["like", "follow", "forward"]),
    help="A further task, known for recommendations only. Can be given again.",
)
def kuaisar(src: Path, out: Path, overwrite: bool, unclicked: bool, labels: tuple[str, ...]) -> None:
    """Read KuaiSAR: rec_inter.csv, src_inter.csv, item_features.csv, user_features.csv.

    A clicked recommendation becomes a browse event, a clicked search result a search event. Queries and captions are
    anonymised word ids, and stay so.
    """
    from seminar_tf.data import kuaisar as adapter

    summary = adapter.prepare(src, out, overwrite=overwrite, unclicked=unclicked, labels=labels)
    names = ("users", "browse_events", "search_events", "items_without_features")
    figures = {name.replace("_", " "): summary[name] for name in names}
    _show(summary, src, out, figures | {f"{k}: not clicked": n for k, n in summary["not_clicked"].items()})


@command.command()
@_from_to("Folder of a review and a meta file.")
@click.option("--reviews", type=_FILE, help="The review file, where the folder holds several.")
@click.option("--meta", type=_FILE, help="The meta file, where the folder holds several.")
@click.option("--image-features", type=_FILE, help="The .b file, where the folder holds several.")
@click.option("--no-image-features", is_flag=True, help="Use no image features, even where there are some.")
@click.option("--image-dim", type=click.IntRange(0, 4096), default=0, help="Project image features to this width.")
@click.option("--min-rating", type=click.FloatRange(0, 5), default=0.0, help="Leave out reviews with fewer stars.")
def amazon(
    src: Path,
    out: Path,
    overwrite: bool,
    reviews: Path | None,
    meta: Path | None,
    image_features: Path | None,
    no_image_features: bool,
    image_dim: int,
    min_rating: float,
) -> None:
    """Read Amazon reviews of one category: *.json.gz of 2018 or *.jsonl.gz of 2023, with meta_*.

    Reviews become browse events. The data has no queries. Image features (*.b) are used where found.
    """
    if image_features and no_image_features:
        raise click.UsageError("--image-features and --no-image-features exclude each other.")
    from seminar_tf.data import amazon as adapter

    summary = adapter.prepare(
        src,
        out,
        overwrite=overwrite,
        reviews=reviews,
        meta=meta,
        image_features=image_features,
        find_images=not no_image_features,
        image_dim=image_dim,
        min_rating=min_rating,
    )
    names = ("users", "reviews", "reviews_below_min_rating", "items_without_metadata")
    figures = {name.replace("_", " "): summary[name] for name in names}
    _show(summary, src, out, figures | {"image features": (summary["image_features"] or {}).get("records", 0)})


def _console() -> Console:
    return Console(soft_wrap=True)


def _show(summary: dict[str, Any], src: Path, out: Path, figures: dict[str, int]) -> None:
    """Prints what an adapter wrote."""
    table = Table(show_header=False)
    for name, value in figures.items():
        table.add_row(name, f"{value:,}")
    table.add_row("items", f"{summary['rows']['items']:,}")
    for kind, reasons in summary["rejected"].items():
        for reason, rows in reasons.items():
            table.add_row(f"rejected from {kind}: {reason}", f"{rows:,}")
    console = _console()
    console.print(f"{summary['source']} from {src}, written to {out}", highlight=False, markup=False)
    console.print(table)
    if summary["rejected"]:
        console.print(f"Rejected rows are in {out}/rejected.", highlight=False, markup=False)
