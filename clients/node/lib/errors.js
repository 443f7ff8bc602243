"use strict";
// What can go wrong between an image and its labels; every message is one line.

class ClientError extends Error {
  constructor(what, remedy) {
    const text = what.split(/\s+/).join(" ").trim();
    super(remedy === undefined ? text : `${text.replace(/\.$/, "")}. ${remedy}`);
    this.name = new.target.name;
    if (remedy !== undefined) this.remedy = remedy;
  }
}
class UsageError extends ClientError {}
class ModelError extends UsageError {}
class UnavailableError extends ClientError {}
class DeadlineError extends UnavailableError {}
class ServerError extends ClientError {}
class BadImageError extends ClientError {}

module.exports = {
  ClientError,
  UsageError,
  ModelError,
  UnavailableError,
  DeadlineError,
  ServerError,
  BadImageError,
};
