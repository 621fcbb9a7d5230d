"""Elements of HTML, in which everything is escaped that is not an element itself."""

from __future__ import annotations

import html
import urllib.parse


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(content: object) -> Html:
    """Returns any value as HTML."""
    return content if isinstance(content, Html) else Html(html.escape(str(content)))


def join(*parts: object, by: str = "") -> Html:
    """Returns the parts, escaped unless they are HTML, one after the other; None is left out."""
    return Html(text(by).join(text(part) for part in parts if part is not None))


def element(name: str, *parts: object, **attributes: object) -> Html:
    """Returns `<name …>parts</name>`.

    Attributes of None are left out, those of True have no value; `class_` is `class`, and other
    underscores are hyphens.
    """
    opening = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        opening.append(key if value is True else f'{key}="{html.escape(str(value))}"')
    return Html(f"<{' '.join(opening)}>{join(*parts)}</{name}>")


def link(path: str, *parts: object, **attributes: object) -> Html:
    """Returns a link to a file, a path below the page's folder; whatever it holds stays a path."""
    return element("a", *parts, href=quote(path), **attributes)


def quote(path: str) -> str:
    """Returns a path as a relative address."""
    return urllib.parse.quote(path, safe="/", errors="surrogateescape").lstrip("/")
