"use strict";
// What tests/client/test_node.py runs: what a server with mutual TLS is found to want, as JSON.
// Arguments: the URL, the folder of the certificates, and one of others.

const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { Classifier } = require("resnet-client");

const [url, folder, other] = process.argv.slice(2);
const ca = readFileSync(join(folder, "authority.pem"));

function pair(place) {
  const [key, certificate] = ["key", "pem"].map((end) => readFileSync(join(place, `client.${end}`)));
  return { key, certificate };
}

async function said(tls, timeoutMs) {
  const classifier = new Classifier(url, "mean", { tls, timeoutMs });
  try {
    return await classifier.classify(ca);
  } catch (error) {
    return error.message;
  } finally {
    await classifier.close();
  }
}

async function main() {
  const found = {
    none: await said({ ca }, 1000),
    other: await said({ ca, ...pair(other) }, 1000),
    own: await said({ ca, ...pair(folder) }, 60_000),
  };
  console.log(JSON.stringify(found));
}

main();
