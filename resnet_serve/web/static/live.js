/* Tiles of Triton's metrics: rates from two readings, while the page is looked at. */
import { find, milliseconds } from "/static/element.js";
import { get } from "/static/server.js";

const EVERY_MS = 2000;
let models = [];
let before = null;

const sum = (reading, name) => models.reduce((total, each) => total + (reading.models[each]?.[name] ?? 0), 0);

function show(reading) {
  const percentiles = models.map((each) => reading.models[each]?.p99_ms).filter((each) => each !== undefined);
  const images = sum(reading, "images");
  if (before !== null && reading.at_s > before.at_s) {
    const rate = Math.max(0, images - before.images) / (reading.at_s - before.at_s);
    find("#live-rate").textContent = rate >= 10 || rate === 0 ? Math.round(rate) : rate.toFixed(1);
  }
  if (before === null || reading.at_s > before.at_s) before = { at_s: reading.at_s, images };
  find("#live-waiting").textContent = sum(reading, "waiting");
  find("#live-p99").textContent = percentiles.length === 0 ? "–" : milliseconds(Math.max(...percentiles));
  find("#live-rejected").textContent = sum(reading, "rejected");
}

async function turn() {
  if (!document.hidden && models.length > 0) {
    try {
      show(await get("/live"));
      find("#live").hidden = false;
    } catch {
      before = null;
      for (const each of document.querySelectorAll("#live dd")) each.textContent = "–";
    }
  }
  setTimeout(turn, EVERY_MS);
}

/** From now on, the tiles are of these models. */
export function watch(names) {
  const started = models.length > 0;
  models = names;
  before = null;
  if (!started) turn();
}
