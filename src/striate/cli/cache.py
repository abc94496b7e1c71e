"""`striate cache list` and `striate cache clear`."""

from typing import Annotated

import typer


def list_() -> None:
    """List decoded sets and downloads in the cache, with their size and last use."""
    from datetime import datetime

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from striate.api.cache import list_cache
    from striate.api.images import shown
    from striate.folders import cache_dir

    table = Table("name", "kind", "images", "size", "last used", title=str(cache_dir()))
    for entry in list_cache():
        images = "" if entry.num_images is None else f"{entry.num_images:,}"
        used = datetime.fromtimestamp(entry.used).strftime("%Y-%m-%d %H:%M")
        cells = (shown(entry.name), entry.kind, images, _size(entry.num_bytes), used)
        table.add_row(*map(Text, cells))
    Console().print(table if table.row_count else f"The cache {cache_dir()} is empty.")


def clear(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these sets; all when none is named.")
    ] = None,
    keep_downloads: Annotated[
        bool, typer.Option("--keep-downloads", help="Leave the files of named sets.")
    ] = False,
) -> None:
    """Remove decoded sets and downloads; they are made again when they are needed."""
    from rich.console import Console

    from striate.api.cache import clear_cache

    removed = clear_cache(names or (), downloads=not keep_downloads)
    freed = sum(entry.num_bytes for entry in removed)
    Console().print(f"Removed {len(removed)} set(s), {_size(freed)}.")


def _size(num_bytes: int) -> str:
    """Bytes for people, in powers of 1024."""
    size = float(num_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
