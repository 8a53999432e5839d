// Colours: the page's own, read from its theme, and those with a fixed meaning. Pictures made of nothing but colour.

/** Colours of the page's theme; the meaning colours are Okabe and Ito's and never change their meaning. */
function readTheme(element) {
  const style = getComputedStyle(element);
  const value = (name, otherwise) => style.getPropertyValue(name).trim() || otherwise;
  const paper = toRgb(value("--st-background-color", "#ffffff"));
  const dark = paper[0] * 0.3 + paper[1] * 0.59 + paper[2] * 0.11 < 128;
  return {
    dark, paper,
    text: value("--st-text-color", dark ? "#fafafa" : "#31333f"),
    ink: dark ? [236, 238, 243] : [16, 20, 34],
    faint: dark ? "rgba(250,250,250,0.16)" : "rgba(49,51,63,0.14)",
    soft: dark ? "rgba(250,250,250,0.66)" : "rgba(49,51,63,0.72)",
    grey: dark ? "#a9adb8" : "#6b6f7a",
    band: dark ? "rgba(170,175,190,0.24)" : "rgba(110,115,130,0.17)",
    wave: dark ? "#b9bfcc" : "#4a5060",
    font: value("--st-font", "sans-serif"),
    blue: dark ? "#56b4e9" : "#0072b2",
    vermilion: dark ? "#f0803c" : "#d55e00",
    purple: dark ? "#dd9cc0" : "#a8508a",
    select: "#f0e442",
    selectEdge: dark ? "#f0e442" : "#9a8c00",
    head: dark ? "#ffffff" : "#000000",
  };
}

function toRgb(colour) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const context = canvas.getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  return Array.from(context.getImageData(0, 0, 1, 1).data).slice(0, 3);
}

/** Oblique hatching, the second sign of whatever vermilion says. */
function hatch(context, colour, gap = 6) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = gap;
  const t = tile.getContext("2d");
  t.strokeStyle = colour; t.lineWidth = 1;
  t.beginPath(); t.moveTo(-1, gap + 1); t.lineTo(gap + 1, -1); t.moveTo(-1, 1); t.lineTo(1, -1);
  t.moveTo(gap - 1, gap + 1); t.lineTo(gap + 1, gap - 1); t.stroke();
  return context.createPattern(tile, "repeat");
}

/** The entropy map and its like: one hue, more ink for more. */
function paintMap(lane, theme) {
  const canvas = document.createElement("canvas");
  canvas.width = lane.columns; canvas.height = lane.rows;
  const context = canvas.getContext("2d"), image = context.createImageData(lane.columns, lane.rows);
  const ink = theme.dark ? [246, 205, 228] : [88, 18, 66];
  for (let i = 0; i < lane.rows * lane.columns; i++) {
    const w = lane.pixels[i] / 255;
    for (let k = 0; k < 3; k++) image.data[i * 4 + k] = theme.paper[k] + (ink[k] - theme.paper[k]) * w;
    image.data[i * 4 + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
