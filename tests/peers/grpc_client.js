"use strict";
// A client on @grpc/grpc-js, for the peers tests: node grpc_client.js '{"target": ..., "proto": ..., "cases": ...}'.
// `cases` is a file: a JSON list of calls, made one after the other, each told as a JSON line. A case has `stream`,
// `requests` (fields of an SmsRequest, or {"octets": hex}), `metadata`, `deadline_ms`, `compression`, and `last_at_ms`,
// Unix time before which its last request does not go out.

const fs = require("fs");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const options = JSON.parse(process.argv[2]);
const loaded = loader.loadSync(options.proto, { keepCase: true, longs: Number, defaults: true });
const service = grpc.loadPackageDefinition(loaded).sms.v1.SmsService.service;
const algorithms = { "": 0, deflate: 1, gzip: 2 };
const clients = {};

function clientFor(compression) {
  const settings = { "grpc.default_compression_algorithm": algorithms[compression] };
  clients[compression] ||= new grpc.Client(options.target, grpc.credentials.createInsecure(), settings);
  return clients[compression];
}

function octets(definition) {
  return (request) => ("octets" in request ? Buffer.from(request.octets, "hex") : definition.requestSerialize(request));
}

function settings(given) {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(given.metadata)) metadata.set(name, value);
  return [metadata, { deadline: Date.now() + given.deadline_ms }];
}

function until(at_ms) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, at_ms - Date.now())));
}

function answered(answer) {
  return [answer.transaction_id, answer.status, answer.error];
}

function failed(error, answers) {
  const details = error.metadata ? error.metadata.get("grpc-status-details-bin")[0] : undefined;
  const wait = error.metadata ? error.metadata.get("retry-after-ms")[0] : undefined;
  return {
    code: grpc.status[error.code],
    answers,
    text: error.details,
    details: details ? details.toString("hex") : "",
    retry_after_ms: Number(wait || 0),
  };
}

function unary(given, request) {
  const { path, responseDeserialize, ...definition } = service.SendMessage;
  return new Promise((resolve) => {
    clientFor(given.compression).makeUnaryRequest(
      path, octets(definition), responseDeserialize, request, ...settings(given),
      (error, answer) => resolve(error ? failed(error, []) : { code: "OK", answers: [answered(answer)] }),
    );
  });
}

function stream(given) {
  const { path, responseDeserialize, ...definition } = service.SendMessageStream;
  const call = clientFor(given.compression).makeBidiStreamRequest(
    path, octets(definition), responseDeserialize, ...settings(given),
  );
  const answers = [];
  const requests = given.requests[Symbol.iterator]();
  const last = given.requests.length - 1;
  let sent = 0;
  const pump = () => {
    if (sent === last && Date.now() < given.last_at_ms) return void setTimeout(pump, given.last_at_ms - Date.now());
    for (let next = requests.next(); !next.done; next = requests.next()) {
      sent += 1;
      if (!call.write(next.value)) return void call.once("drain", pump);
      if (sent === last && Date.now() < given.last_at_ms) return void pump();
    }
    call.end();
  };
  return new Promise((resolve) => {
    call.on("data", (answer) => answers.push(answered(answer)));
    call.on("error", (error) => resolve(failed(error, answers)));
    const ended = new Promise((done) => call.on("end", done));
    call.on("status", (status) => status.code || ended.then(() => resolve({ code: "OK", answers })));
    pump();
  });
}

async function main() {
  for (const given of JSON.parse(fs.readFileSync(options.cases, "utf8"))) {
    let met;
    const began = Date.now();
    if (given.stream) met = await stream(given);
    else for (const request of given.requests) {
      if (request === given.requests.at(-1)) await until(given.last_at_ms);
      met = await unary(given, request);
    }
    process.stdout.write(JSON.stringify({ event: "met", ...met, seconds: (Date.now() - began) / 1000 }) + "\n");
  }
  for (const client of Object.values(clients)) client.close();
}

main();
