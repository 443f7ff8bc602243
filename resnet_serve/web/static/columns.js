/* A column for each version: its predictions as bars, its facts, and whether it agrees. */
import { bytes, element, find, milliseconds, percent, show } from "/static/element.js";

const place = find("#columns");
const verdict = find("#verdict");
let cards = new Map();

export const nameOf = (each) => `${each.model}/${each.version}`;

/** The name to show: with the version where several of the model are served. */
export function titleOf(each) {
  const alone = [...cards.values()].filter((card) => card.model.model === each.model).length < 2;
  return alone ? each.model : `${each.model} version ${each.version}`;
}

function fact(name, value) {
  return element("div", {}, element("dt", {}, name), element("dd", {}, value));
}

function card(model) {
  const time = element("dd", {}, "–");
  const best = element("p", { className: "best soft" }, "–");
  const bars = element("ul", { className: "bars" });
  bars.style.setProperty("--rows", Math.min(5, Math.max(2, model.classes)));
  const links = element("div", { className: "links" });
  if (model.report) links.append(element("a", { href: model.report, target: "_blank" }, "Report"));
  if (model.passport) links.append(element("a", { href: model.passport, target: "_blank" }, "Passport"));
  const header = element("header", {}, element("h3", {}, model.model));
  if (model.precision) header.append(element("span", { className: "tag" }, model.precision.toUpperCase()));
  const about = element("p", { className: "about" }, [`version ${model.version}`, model.target].filter(Boolean).join(" · "));
  const facts = element("dl", { className: "facts" }, element("div", {}, element("dt", {}, "Time"), time));
  if (model.size_bytes) facts.append(fact("Size", bytes(model.size_bytes)));
  if (model.speedup) {
    const against = fact("× PyTorch", `${model.speedup.toFixed(1)}×`);
    against.title = "Median speed-up over PyTorch, measured when it was converted";
    facts.append(against);
  } else if (model.speedup_not_stated) {
    const against = fact("× PyTorch", "not stated");
    against.title = model.speedup_not_stated;
    facts.append(against);
  }
  const root = element("article", { className: "column", "aria-label": `${model.model} version ${model.version}` }, header, about, best, bars, facts, links);
  return { root, best, bars, time, model };
}

/** Columns without predictions for these models. */
export function lay(models) {
  cards = new Map(models.map((model) => [nameOf(model), card(model)]));
  place.replaceChildren(...[...cards.values()].map((each) => each.root));
}

/** Dimmed while an answer is on its way. */
export const waiting = (on) => place.classList.toggle("waiting", on);

export function say(text, kind = "") {
  verdict.textContent = text;
  verdict.className = `verdict ${kind}`;
}

const share = (each) => (each.probability === undefined ? each.logit.toPrecision(3) : percent(each.probability));

function bar(each, largest) {
  const width = each.probability ?? Math.max(0, each.logit / largest);
  const inner = element("i");
  inner.style.width = `${100 * Math.min(1, width)}%`;
  const row = element("li", {}, element("span", { title: each.label }, each.label), element("span", {}, share(each)),
    element("div", { className: "bar", "aria-hidden": "true" }, inner));
  row.classList.toggle("decided", each.above_threshold === true);
  return row;
}

/** What a version decides for: its best class, or its labels. */
export function decision(column) {
  const found = column.predictions ?? [];
  if (found.length === 0) return "nothing";
  if (found[0].above_threshold === undefined || column.single) return found[0].label;
  return found.filter((each) => each.above_threshold).map((each) => each.label).join(", ") || "no label";
}

function draw(each, column, first) {
  const { root, best, bars, time } = each;
  const flipped = column.agrees === false;
  root.classList.toggle("flipped", flipped || column.error !== undefined);
  best.classList.toggle("soft", column.predictions === undefined);
  time.textContent = column.ms === undefined ? "–" : milliseconds(column.ms);
  if (column.error !== undefined) {
    best.replaceChildren("no prediction", element("small", {}, column.error));
    bars.replaceChildren();
    return;
  }
  const top = column.predictions[0];
  const instead = flipped ? `instead of ${decision(first)}` : top.probability === undefined ? "score " + share(top) : share(top);
  best.replaceChildren(decision(column), element("small", {}, instead));
  const largest = Math.max(1e-9, ...column.predictions.map((one) => Math.abs(one.logit)));
  bars.classList.toggle("labels", top.above_threshold !== undefined);
  bars.replaceChildren(...column.predictions.map((one) => bar(one, largest)));
}

function conclusion(columns) {
  const [first] = columns;
  const flipped = columns.filter((each) => each.agrees === false);
  const failed = columns.filter((each) => each.error !== undefined);
  if (failed.length > 0) return [`${failed.map(titleOf).join(", ")} gave no prediction`, "failed"];
  if (flipped.length > 0) {
    const texts = flipped.map((each) => `${titleOf(each)} decides ${decision(each)}`);
    return [`${texts.join(", ")}, not ${decision(first)}`, "differ"];
  }
  if (columns.length === 1) return [decision(first), "agree"];
  return [`All ${columns.length} agree: ${decision(first)}`, "agree"];
}

/** The columns of an answer; returns whether all versions were known. */
export function fill(answer) {
  const columns = answer.columns.map((each) => ({ ...each, single: cards.get(nameOf(each))?.model.classes === 1 }));
  const known = columns.length === cards.size && columns.every((each) => cards.has(nameOf(each)));
  if (known) for (const each of columns) draw(cards.get(nameOf(each)), each, columns[0]);
  say(...conclusion(columns));
  return known;
}

/** Columns without predictions again. */
export function clear() {
  lay([...cards.values()].map((each) => each.model));
}

export function thumbnail(url, text, chosen) {
  const image = element("img", { alt: "" });
  show(image, url);
  const button = element("button", { type: "button", onclick: chosen, title: text }, image);
  button.setAttribute("aria-label", text);
  return element("li", {}, button);
}
