/* A labelled folder: running accuracy and agreement of every version, and what is decided differently. */
import { decision, nameOf, thumbnail, titleOf } from "/static/columns.js";
import { element, find, milliseconds, percent } from "/static/element.js";
import { compare, post, wait } from "/static/server.js";

const AT_ONCE = 4;
const ATTEMPTS = 20;
const SHOWN_FLIPS = 24;
const IMAGE = /\.(jpe?g|jpe|jfif|png|webp|avif|bmp|gif|tiff?|ppm|pgm|pbm|pnm)$/i;

class Tally {
  labelled = 0;
  right = 0;
  compared = 0;
  equal = 0;
  ms = 0;
  done = 0;
  failed = 0;

  add(column, truth) {
    if (column.predictions === undefined) {
      this.failed += 1;
      return;
    }
    this.done += 1;
    this.ms += column.ms;
    if (truth !== undefined && column.predictions.length > 0) {
      this.labelled += 1;
      this.right += column.predictions[0].index === truth;
    }
    if (column.agrees !== undefined) {
      this.compared += 1;
      this.equal += column.agrees;
    }
  }
}

const ratio = (part, whole) => (whole === 0 ? "–" : percent(part / whole, 2));

/** One run over the files of a folder; `open(file)` shows one of them, `stop` ends it. */
export class Run {
  #stopped = new AbortController();
  #tallies = new Map();
  #done = 0;
  #bad = [];
  #flips = 0;

  constructor(files, models, open) {
    this.files = shuffled(files.filter((each) => IMAGE.test(each.file.name)));
    this.models = models;
    this.open = open;
    for (const each of models) this.#tallies.set(nameOf(each), new Tally());
  }

  stop() {
    this.#stopped.abort();
  }

  async start() {
    find("#batch").hidden = false;
    find("#flips").hidden = true;
    find("#flips ul").replaceChildren();
    find("#stop").hidden = false;
    find("#stop").onclick = () => this.stop();
    this.#draw("");
    try {
      const truths = await this.#truths();
      const left = this.files.values();
      await Promise.all(Array.from({ length: AT_ONCE }, () => this.#work(left, truths)));
      this.#draw(this.#stopped.signal.aborted ? " Stopped." : "");
    } catch (error) {
      this.stop();
      this.#draw(` ${error.message}`);
    }
    find("#stop").hidden = true;
  }

  /** The class of each folder by its name; a name that is no label has none. */
  async #truths() {
    const names = [...new Set(this.files.map((each) => each.folder).filter((each) => each !== null))];
    const found = await post("/folders", { names, model: this.models[0].model, version: this.models[0].version });
    const unknown = Object.entries(found.unknown);
    this.unknown = unknown.length === 0 ? "" : ` Without accuracy: ${unknown.slice(0, 3).map(([name, why]) => `${name} ${why}`).join("; ")}${unknown.length > 3 ? ` and ${unknown.length - 3} more` : ""}.`;
    return found.classes;
  }

  async #work(left, truths) {
    for (const each of left) {
      if (this.#stopped.signal.aborted) return;
      await this.#one(each, truths[each.folder]?.index);
    }
  }

  async #one(each, truth) {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const answer = await compare(each.file, this.models[0].model, this.#stopped.signal);
        for (const column of answer.columns) this.#tallies.get(nameOf(column))?.add(column, truth);
        if (answer.agree === false) this.#flip(each.file, answer.columns);
        break;
      } catch (error) {
        if (error.name === "AbortError") return;
        const passing = error.status === 503 && attempt < ATTEMPTS;
        if (!passing) {
          if (error.status === 0 || error.status === 401 || error.status === 503) throw error;
          this.#bad.push(`${each.file.name}: ${error.message}`);
          break;
        }
        await wait(error.retryAfterS || 1);
      }
    }
    this.#done += 1;
    this.#draw("");
  }

  #flip(file, columns) {
    this.#flips += 1;
    if (this.#flips > SHOWN_FLIPS) return;
    find("#flips").hidden = false;
    const other = columns.find((each) => each.agrees === false);
    const text = `${file.name}: ${decision(columns[0])}, ${titleOf(other)} ${decision(other)}`;
    find("#flips ul").append(thumbnail(URL.createObjectURL(file), text, () => this.open(file)));
  }

  #draw(more) {
    const count = this.files.length;
    const bar = find("#batch-progress");
    bar.max = Math.max(1, count);
    bar.value = this.#done;
    const bad = this.#bad.length === 0 ? "" : ` ${this.#bad.length} could not be classified, the first is ${this.#bad[0]}.`;
    const flips = this.#flips === 0 ? "" : ` ${this.#flips} decided differently.`;
    find("#batch-text").textContent = count === 0
      ? "There is no image in it." : `${this.#done} of ${count} images.${flips}${bad}${this.unknown ?? ""}${more}`;
    find("#batch-table tbody").replaceChildren(...this.models.map((model, at) => {
      const tally = this.#tallies.get(nameOf(model));
      return element("tr", {}, element("th", { scope: "row" }, titleOf(model)),
        element("td", { className: "number" }, ratio(tally.right, tally.labelled)),
        element("td", { className: `number ${tally.equal < tally.compared ? "bad" : ""}` }, at === 0 ? "reference" : ratio(tally.equal, tally.compared)),
        element("td", { className: "number" }, tally.done === 0 ? "–" : milliseconds(tally.ms / tally.done)));
    }));
  }
}

/** In another order, so that the first numbers are of all classes. */
function shuffled(files) {
  const found = [...files];
  for (let last = found.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [found[last], found[other]] = [found[other], found[last]];
  }
  return found;
}
