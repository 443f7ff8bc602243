"""The HTML report of a conversion: `report` fills the template, `plots` draws, `svg` writes SVG."""
