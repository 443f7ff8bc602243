"use strict";
// Predictions from all logits of one image, read by the model's activation.
//
//     softmax               exp(logit) / sum of exp(logits)    the best classes
//     sigmoid, many labels  1 / (1 + exp(-logit))              the labels at their threshold
//     sigmoid, one output   the same, or 1 minus that          the positive or the negative
//     none                  no probability                     the largest scores

const { ServerError } = require("./errors.js");

const DEFAULT_TOP = 5;
const SOFTMAX = { kind: "softmax", thresholds: [] };

function predictions(logits, labels, top, activation = SOFTMAX) {
  if (!logits.every(Number.isFinite)) {
    throw new ServerError("the network's logits are not finite");
  }
  const order = logits.map((_, index) => index).sort((a, b) => logits[b] - logits[a] || a - b);
  if (activation.kind === "sigmoid") return decisions(logits, labels, order, top, activation);
  const largest = logits[order[0]];
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return order.slice(0, top ?? DEFAULT_TOP).map((index) => ({
    label: labels[index],
    index,
    probability: activation.kind === "softmax" ? Math.exp(logits[index] - largest) / sum : null,
    logit: logits[index],
  }));
}

function decisions(logits, labels, order, top, { thresholds, negative }) {
  const found = order.map((index) => {
    const probability = 1 / (1 + Math.exp(-logits[index]));
    const threshold = thresholds[thresholds.length > 1 ? index : 0];
    const aboveThreshold = probability >= threshold;
    return { label: labels[index], index, probability, logit: logits[index], aboveThreshold };
  });
  if (logits.length > 1) {
    return found.filter((each) => each.aboveThreshold || top !== undefined).slice(0, top);
  }
  const [{ label, probability, logit, aboveThreshold }] = found;
  const yes = { label, index: 1, probability, logit, aboveThreshold };
  const no = {
    label: negative ?? `not ${label}`,
    index: 0,
    probability: 1 - probability,
    logit: -logit,
    aboveThreshold: !aboveThreshold,
  };
  return (aboveThreshold ? [yes, no] : [no, yes]).slice(0, top ?? 1);
}

module.exports = { predictions, SOFTMAX };
