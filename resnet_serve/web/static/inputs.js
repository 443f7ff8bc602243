/* Where images come from: a drop, the clipboard, a file dialog, the camera, a folder. */
import { find } from "/static/element.js";

const FRAME_WAIT_MS = 150;

/** Calls `image(file)` for one image and `folder([{file, folder}])` for many. */
export function listen({ image, folder }) {
  const drop = find("#drop");
  const file = find("#file");
  const many = find("#folder");
  find("#choose").onclick = () => file.click();
  find("#choose-folder").onclick = () => many.click();
  file.onchange = () => {
    if (file.files[0]) image(file.files[0]);
    file.value = "";
  };
  many.onchange = () => {
    folder([...many.files].map((each) => ({ file: each, folder: parent(each.webkitRelativePath) })));
    many.value = "";
  };
  addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) drop.classList.remove("over");
  });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const found = await dropped(event.dataTransfer);
    if (found.length === 1 && found[0].folder === null) image(found[0].file);
    else if (found.length > 0) folder(found);
  });
  addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])].find((each) => each.type.startsWith("image/"));
    if (pasted) image(pasted);
  });
}

/** The name of the folder that a file is in. */
const parent = (path) => path.split("/").at(-2) ?? null;

/** The files of a drop, each with the name of its folder; null for one that was dropped by itself. */
async function dropped(transfer) {
  const entries = [...transfer.items].map((each) => each.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ file, folder: null }));
  const found = [];
  for (const entry of entries) await collect(entry, null, found);
  return found;
}

async function collect(entry, folder, found) {
  if (entry.isFile) {
    const file = await new Promise((done, failed) => entry.file(done, failed));
    if (!file.name.startsWith(".")) found.push({ file, folder });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (some.length === 0) return;
    for (const each of some) await collect(each, entry.name, found);
  }
}

/** The camera: `frame(file)` is awaited for one picture after the other, until it is stopped. */
export class Camera {
  #stream = null;
  #video = find("#camera");
  #button = find("#use-camera");

  constructor(frame, failed) {
    this.#button.onclick = () => (this.#stream ? this.stop() : this.#start(frame, failed));
  }

  stop() {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = null;
    this.#video.srcObject = null;
    this.#video.hidden = true;
    this.#button.setAttribute("aria-pressed", "false");
  }

  async #start(frame, failed) {
    try {
      if (!navigator.mediaDevices) throw new Error("a camera needs https, or this computer's own address");
      this.#stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640 } });
    } catch (error) {
      failed(`The camera cannot be used: ${error.message}`);
      return;
    }
    const mine = this.#stream;
    this.#button.setAttribute("aria-pressed", "true");
    this.#video.srcObject = mine;
    this.#video.hidden = false;
    await this.#video.play();
    while (this.#stream === mine) {
      const taken = await this.#picture();
      if (this.#stream === mine && taken) await frame(taken);
      await new Promise((done) => setTimeout(done, FRAME_WAIT_MS));
    }
  }

  #picture() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [this.#video.videoWidth, this.#video.videoHeight];
    if (canvas.width === 0) return null;
    canvas.getContext("2d").drawImage(this.#video, 0, 0);
    return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
  }
}
