"use strict";
// An SMSC on node-smpp, for the peers tests: node node_smsc.js '{"receipts": "text", "cert": ..., "key": ...}'.
// Listens on loopback on ports the system chooses, plain, and over TLS when a certificate is given.
// Takes every submit_sm, sends a receipt where one is asked for, and writes what it saw as a JSON line each.
// A destination that ends in 9 is answered ESME_RINVDSTADR, one that ends in 8 gets an UNDELIV receipt.

const fs = require("fs");
const smpp = require("smpp");

const options = JSON.parse(process.argv[2] || "{}");
let lastId = 0;
let receiver = null; // the session bound as receiver, if any: receipts go there

function say(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + "\n");
}

function hex(parts) {
  return parts && parts.map((part) => part.toString("hex"));
}

function describe(pdu) {
  const body = pdu.message_payload || pdu.short_message || {};
  return {
    source: [pdu.source_addr_ton, pdu.source_addr_npi, pdu.source_addr],
    destination: [pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.destination_addr],
    service_type: pdu.service_type,
    esm_class: pdu.esm_class,
    data_coding: pdu.data_coding,
    registered_delivery: pdu.registered_delivery,
    udh: hex(body.udh),
    text: body.message,
    payload: Boolean(pdu.message_payload),
    sar: pdu.sar_msg_ref_num && [pdu.sar_msg_ref_num, pdu.sar_total_segments, pdu.sar_segment_seqnum],
  };
}

function receipt(pdu, id) {
  const delivered = !pdu.destination_addr.endsWith("8");
  const addresses = {
    source_addr_ton: pdu.dest_addr_ton,
    source_addr_npi: pdu.dest_addr_npi,
    source_addr: pdu.destination_addr,
    dest_addr_ton: pdu.source_addr_ton,
    dest_addr_npi: pdu.source_addr_npi,
    destination_addr: pdu.source_addr,
    esm_class: smpp.ESM_CLASS.MC_DELIVERY_RECEIPT,
  };
  if (options.receipts === "tlv") {
    return { ...addresses, receipted_message_id: id, message_state: delivered ? 2 : 5 };
  }
  const state = delivered ? "stat:DELIVRD err:000" : "stat:UNDELIV err:027";
  const dates = "submit date:2611210750 done date:2611210751";
  return { ...addresses, short_message: `id:${id} sub:001 dlvrd:001 ${dates} ${state} text:` };
}

function serve(session) {
  session.on("error", (error) => say("session_error", { reason: String(error) }));
  session.on("close", () => say("closed", {}));
  for (const bind of ["bind_transceiver", "bind_transmitter", "bind_receiver"]) {
    session.on(bind, (pdu) => {
      const { system_id, password, interface_version } = pdu;
      say("bound", { bind, system_id, password, interface_version, tls: Boolean(session.socket.encrypted) });
      receiver = bind === "bind_receiver" ? session : receiver;
      session.send(pdu.response({ system_id: "node-smpp" }));
    });
  }
  session.on("submit_sm", (pdu) => {
    if (pdu.destination_addr.endsWith("9")) {
      session.send(pdu.response({ command_status: smpp.ESME_RINVDSTADR }));
      return;
    }
    const id = `node-${++lastId}`;
    say("submit_sm", { id, ...describe(pdu) });
    session.send(pdu.response({ message_id: id }));
    if (pdu.registered_delivery & 1) {
      (receiver || session).deliver_sm(receipt(pdu, id), (answer) => {
        say("deliver_sm_resp", { id, command_status: answer.command_status });
      });
    }
  });
  session.on("enquire_link", (pdu) => session.send(pdu.response()));
  session.on("enquire_link_resp", () => say("enquire_link_resp", {}));
  session.on("unbind", (pdu) => {
    say("unbound", {});
    session.send(pdu.response());
    session.close();
  });
  session.enquire_link();
}

function listen(name, settings) {
  const server = smpp.createServer(settings, serve);
  server.on("error", (error) => say("server_error", { reason: String(error) }));
  server.on("tlsClientError", (error) => say("tls_refused", { reason: String(error) }));
  server.listen(0, "127.0.0.1", () => say("listening", { name, port: server.address().port }));
}

listen("plain", {});
if (options.cert) {
  listen("tls", { cert: fs.readFileSync(options.cert), key: fs.readFileSync(options.key) });
}
process.on("SIGTERM", () => process.exit(0));
