"""`seminar-tf prepare`: published datasets as canonical tables."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(name="prepare")
def command() -> None:
    """Turn a published dataset into the canonical tables (docs/data.md)."""


@command.command()
@click.option("--src", required=True, type=click.Path(path_type=Path), help="The folder as published, unpacked.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where to write the dataset.")
@click.option("--overwrite", is_flag=True, help="Replace a dataset that is already there.")
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
    table = Table(show_header=False)
    for name in ("users", "ratings", "tags", "image_vectors", "texts"):
        table.add_row(name.replace("_", " "), f"{summary[name]:,}")
    table.add_row("items", f"{summary['rows']['items']:,}")
    for kind, reasons in summary["rejected"].items():
        for reason, rows in reasons.items():
            table.add_row(f"rejected from {kind}: {reason}", f"{rows:,}")
    console = Console(soft_wrap=True)
    console.print(f"{summary['source']} from {src}, written to {out}", highlight=False, markup=False)
    console.print(table)
    if summary["tags"]:
        console.print(f"{summary['tags']:,} tags written as search events ({summary['tags_note']}).", highlight=False)
    if summary["rejected"]:
        console.print(f"Rejected rows are in {out}/rejected.", highlight=False, markup=False)
