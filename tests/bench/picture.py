"""The table of throughput as a picture: ours beside each peer, by body, as a share of nginx + lua-cjson."""

from collections.abc import Mapping
from html import escape

_WIDTH, _ROW, _GAP, _LEFT, _TOP = 960, 16, 26, 190, 56
_BAR = 620  # pixels of the longest bar
_COLOURS = ("#8c8c8c", "#b8b8b8", "#d4a84b", "#7a9e6b", "#b07aa1", "#1f5fa8", "#3c86d6", "#7db4ee")


def picture(rates: Mapping[str, Mapping[str, float]], reference: str) -> str:
    """Return an SVG document of requests per second by body and peer; each body has a scale of its own.

    `rates` are by body, then by peer; the number behind a bar is its ratio to the peer `reference`.
    """
    parts = [f'<text x="8" y="24" font-size="16">Requests a second on one core, × {escape(reference)}</text>']
    top = _TOP
    for body, row in rates.items():
        parts.append(f'<text x="8" y="{top - 8}" font-weight="bold">{escape(body)}</text>')
        longest = max(row.values())
        for (peer, rate), colour in zip(row.items(), _COLOURS, strict=False):
            length = _BAR * rate / longest
            label = f"{rate / row[reference]:.2f} × ({rate:,.0f}/s)"
            parts.append(f'<text x="{_LEFT - 8}" y="{top + 11}" text-anchor="end">{escape(peer)}</text>')
            parts.append(f'<rect x="{_LEFT}" y="{top}" width="{length:.1f}" height="{_ROW - 3}" fill="{colour}"/>')
            parts.append(f'<text x="{_LEFT + length + 6:.1f}" y="{top + 11}">{escape(label)}</text>')
            top += _ROW
        top += _GAP
    size = f'width="{_WIDTH}" height="{top}" viewBox="0 0 {_WIDTH} {top}"'
    style = 'font-family="sans-serif" font-size="12"'
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>'
    return "\n".join([opening, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>", ""])
