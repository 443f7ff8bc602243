/* Elements from values, numbers as text. Text is never parsed as HTML. */

/** An element with these properties and children; a child may be a text. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "scope") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export const find = (selector) => document.querySelector(selector);

/** 0.9954 as 99.5 %. A share below 1 is never rounded up to 100 %. */
export function percent(share, digits = 1) {
  const scale = 10 ** digits;
  let points = Math.round(100 * share * scale) / scale;
  if (points === 100 && share < 1) points = 100 - 1 / scale;
  return `${points.toFixed(digits)} %`;
}

export function milliseconds(ms) {
  return `${ms >= 100 ? Math.round(ms) : ms.toPrecision(ms >= 10 ? 3 : 2)} ms`;
}

export function bytes(count) {
  const [unit, size] = count >= 1e6 ? ["MB", 1e6] : ["kB", 1e3];
  const value = count / size;
  return `${value >= 100 ? Math.round(value) : value.toPrecision(2)} ${unit}`;
}

/** Shows an image; one of a few pixels with sharp edges. */
export function show(image, url) {
  image.addEventListener("load", () => image.classList.toggle("small", image.naturalWidth < 128), { once: true });
  image.src = url;
}
