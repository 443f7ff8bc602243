/* The page: what is served, an image from anywhere, and the columns of its comparison. */
import * as columns from "/static/columns.js";
import { element, find, show } from "/static/element.js";
import { Run } from "/static/folder.js";
import { Camera, listen } from "/static/inputs.js";
import { watch } from "/static/live.js";
import { compare, get, open, post, wait } from "/static/server.js";
import { offer } from "/static/snippets.js";

const AGAIN_S = 5;
let served = null;
let group = null;
let last = null; // the image on the page
let running = null;
let number = 0; // of the latest request, whose answer alone is shown

const groupOf = (id) => served.models.filter((each) => each.labels === id);

function status(text, kind) {
  find("#status").className = kind;
  find("#status-text").textContent = text;
}

/** The versions that are served, again and again; the columns change when they do. */
async function follow() {
  for (;;) {
    try {
      const found = await get("/models");
      const names = JSON.stringify(found.models);
      if (served === null || names !== JSON.stringify(served.models)) lay(found);
      const count = found.models.length;
      status(`${count} ${count === 1 ? "version" : "versions"} served`, "ok");
      find("#token-form").hidden = true;
    } catch (error) {
      status(error.message, "failed");
      if (error.status === 401) {
        find("#token-form").hidden = false;
        status("locked", "failed");
        return;
      }
    }
    await wait(AGAIN_S);
  }
}

function lay(found) {
  served = found;
  const ids = [...new Set(found.models.map((each) => each.labels))];
  if (ids.length === 0) {
    columns.lay([]);
    columns.say("No classifier is served. Deploy one with resnet-convert.", "failed");
    return;
  }
  if (!ids.includes(group)) group = ids[0];
  const choices = ids.map((id) => {
    const names = [...new Set(groupOf(id).map((each) => each.model))].join(", ");
    return element("option", { value: id, selected: id === group }, names);
  });
  find("#group").replaceChildren(...choices);
  find("#group-label").hidden = ids.length < 2;
  choose();
}

function choose() {
  const models = groupOf(group);
  columns.lay(models);
  offer({ model: models[0].model, secured: served.secured });
  if (served.live) watch([...new Set(models.map((each) => each.model))]);
  const kept = models.find((each) => each.examples > 0);
  find("#examples").hidden = kept === undefined;
  if (kept !== undefined) examples(kept);
  if (last !== null) classify(last);
}

function examples(model) {
  const urls = Array.from({ length: model.examples }, (_, at) => `/models/${model.model}/${model.version}/examples/${at}`);
  find("#examples ul").replaceChildren(...urls.map((url, at) => columns.thumbnail(url, `Example ${at + 1}`, async () => {
    const image = await (await fetch(url)).blob();
    picture(new File([image], `example-${at + 1}.${image.type.split("/")[1] ?? "image"}`, { type: image.type }));
  })));
}

function picture(file) {
  camera.stop();
  const image = find("#picture");
  const url = URL.createObjectURL(file);
  image.onload = () => URL.revokeObjectURL(url);
  image.onerror = () => {
    image.hidden = true;
    find("#hint").hidden = false;
  };
  image.hidden = false;
  image.alt = file.name;
  find("#hint").hidden = true;
  find("#drop").classList.add("filled");
  find("#picture-name").textContent = file.name;
  show(image, url);
  if (file.name) offer({ file: file.name });
  classify(file);
}

async function classify(file) {
  last = file;
  const mine = ++number;
  if (served === null || group === null) return;
  if (file.size > served.max_body_bytes) {
    columns.clear();
    columns.say(`The image has ${file.size.toLocaleString()} bytes, more than the ${served.max_body_bytes.toLocaleString()} allowed.`, "failed");
    return;
  }
  columns.waiting(true);
  try {
    const answer = await compare(file, groupOf(group)[0].model);
    if (mine !== number) return;
    if (!columns.fill(answer)) served = { ...served, models: [] }; // others are served: look again
  } catch (error) {
    if (mine !== number) return;
    columns.clear();
    columns.say(error.message, "failed");
  } finally {
    if (mine === number) columns.waiting(false);
  }
}

function folder(files) {
  if (served === null || group === null) return;
  running?.stop();
  running = new Run(files, groupOf(group), picture);
  running.start();
  find("#batch").scrollIntoView({ block: "nearest" });
}

const camera = new Camera(
  async (frame) => {
    find("#picture").hidden = true;
    find("#hint").hidden = true;
    find("#picture-name").textContent = "";
    await classify(frame);
  },
  (text) => columns.say(text, "failed"),
);

find("#group").onchange = (event) => {
  group = event.target.value;
  running?.stop();
  choose();
};
find("#token-form").onsubmit = async (event) => {
  event.preventDefault();
  try {
    await post("/session", { token: find("#token").value });
    find("#token").value = find("#token-error").textContent = "";
    follow();
  } catch (error) {
    find("#token-error").textContent = error.message;
  }
};
listen({ image: picture, folder });
open().catch((error) => (find("#token-error").textContent = error.message)).then(follow);
