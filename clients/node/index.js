"use strict";
// resnet-client: images in, labels out, over gRPC from a Triton that serves a ResNet.

const { Classifier } = require("./lib/classifier.js");
const errors = require("./lib/errors.js");

module.exports = { Classifier, ...errors };
