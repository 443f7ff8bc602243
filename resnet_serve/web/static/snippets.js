/* "Copy as": the request of this page from a shell and three languages, without any library of ours. */
import { element, find } from "/static/element.js";

const VARIABLE = "RESNET_SERVE_TOKEN";

const LANGUAGES = {
  curl: ({ url, file, secured }) =>
    `curl --fail-with-body -F image=@${file}${secured ? ` \\\n  -H "Authorization: Bearer $${VARIABLE}"` : ""} \\\n  '${url}'`,
  Python: ({ url, file, secured }) => `import json
import os
import urllib.request

request = urllib.request.Request(
    "${url}",
    data=open("${file}", "rb").read(),
    headers={
        "Content-Type": "application/octet-stream",${secured ? `
        "Authorization": "Bearer " + os.environ["${VARIABLE}"],` : ""}
    },
)
with urllib.request.urlopen(request, timeout=60) as response:
    for each in json.load(response)["predictions"]:
        print(each["label"], each["probability"])
`.replace(secured ? "" : "import os\n", ""),
  Node: ({ url, file, secured }) => `import { readFile } from "node:fs/promises";

const response = await fetch("${url}", {
  method: "POST",
  headers: {
    "Content-Type": "application/octet-stream",${secured ? `
    Authorization: "Bearer " + process.env.${VARIABLE},` : ""}
  },
  body: await readFile("${file}"),
});
const answer = await response.json();
if (!response.ok) throw new Error(answer.detail);
for (const { label, probability } of answer.predictions) console.log(label, probability);
`,
  Go: ({ url, file, secured }) => `package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
)

func main() {
	image, err := os.Open("${file}")
	if err != nil {
		log.Fatal(err)
	}
	request, err := http.NewRequest("POST", "${url}", image)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/octet-stream")${secured ? `
	request.Header.Set("Authorization", "Bearer "+os.Getenv("${VARIABLE}"))` : ""}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Detail      string
		Predictions []struct {
			Label       string
			Probability float64
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		log.Fatal(answer.Detail)
	}
	for _, each := range answer.Predictions {
		fmt.Println(each.Label, each.Probability)
	}
}
`,
};

let chosen = "curl";
let model = "";
let file = "image.jpg";
let secured = false;

function text() {
  const url = `${location.origin}/classify?model=${encodeURIComponent(model)}`;
  return LANGUAGES[chosen]({ url, file, secured }).trimEnd();
}

function draw() {
  find("#snippet code").textContent = text();
  find("#snippet").setAttribute("aria-label", chosen);
  for (const tab of document.querySelectorAll('[role="tab"]')) {
    const selected = tab.textContent === chosen;
    tab.setAttribute("aria-selected", String(selected));
    tab.tabIndex = selected ? 0 : -1;
  }
}

function pick(name) {
  chosen = name;
  draw();
}

/** The tabs, which the arrow keys move between. */
function tabs() {
  const names = Object.keys(LANGUAGES);
  const made = names.map((name) => element("button", { type: "button", role: "tab", "aria-controls": "snippet", onclick: () => pick(name) }, name));
  const list = find(".tabs");
  list.replaceChildren(...made);
  list.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step === undefined) return;
    const next = (names.indexOf(chosen) + step + names.length) % names.length;
    pick(names[next]);
    made[next].focus();
  };
}

async function copy() {
  const button = find("#copy");
  try {
    await navigator.clipboard.writeText(text());
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(find("#snippet code"));
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

/** The requests for this model, with the name of the last file. */
export function offer(changes) {
  ({ model, file, secured } = { model, file, secured, ...changes });
  if (!/^[\w.-]+$/.test(file)) file = "image.jpg";
  find("#code").hidden = model === "";
  if (find(".tabs").children.length === 0) {
    tabs();
    find("#copy").onclick = copy;
  }
  draw();
}
