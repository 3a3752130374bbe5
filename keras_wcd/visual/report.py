"""A report as one HTML file that holds its pictures."""

import base64
import html
import os
from collections.abc import Mapping, Sequence

from keras_wcd.files import replacing

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9rem; }
table { border-collapse: collapse; } th, td { padding: .25rem .8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #888; }
tbody tr:nth-child(even) { background: #f3f3f3; } code { background: #eee; padding: 0 .2rem; }
"""


class Report:
    """Headings, paragraphs, tables and pictures in the order in which they are added.

    Args:
        title: Of the page.
    """

    def __init__(self, title: str):
        self.title = title
        self._parts = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str) -> None:
        """Add a paragraph."""
        self._parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, header: Sequence[str], rows: Sequence[Sequence]) -> None:
        """Add a table; numbers are written with two decimals."""
        head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
        body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
        self._parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")

    def facts(self, facts: Mapping[str, object]) -> None:
        """Add a table of names and values."""
        self.table(["what", "value"], list(facts.items()))

    def picture(self, png: bytes, caption: str) -> None:
        """Add a PNG with a caption."""
        source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        caption = html.escape(caption)
        image = f'<img alt="{caption}" src="{source}">'
        self._parts.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")

    def write(self, path: str | os.PathLike) -> None:
        """Write the page under a temporary name, then rename it."""
        page = (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f"<style>{STYLE}</style></head><body>{''.join(self._parts)}</body></html>"
        )
        with replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")


def _cell(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else html.escape(str(cell))
