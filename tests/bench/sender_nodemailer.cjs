// nodemailer's pool as a sender process: the job of tests/bench/child.py, composing each message.
//
//     NODE_PATH=... node sender_nodemailer.cjs JOB

const readline = require("node:readline");
const nodemailer = require("nodemailer");

const job = JSON.parse(process.argv[2]);
const text = "All 1,204 checks went well; the next run is at six o'clock tomorrow.\n".repeat(13);
const recipients = Array.from({ length: job.recipients }, (_, n) => `bob${n}@example.com`);

const pool = nodemailer.createTransport({
  host: "127.0.0.1",
  port: job.port,
  secure: false,
  ignoreTLS: true,
  pool: true,
  maxConnections: job.connections,
  maxMessages: Infinity,
});

async function send(count, small) {
  let next = 0;
  async function worker() {
    while (next++ < count) {
      await pool.sendMail({
        from: "Ann Clark <ann@example.org>",
        to: "bob@example.com",
        envelope: { from: "ann@example.org", to: recipients },
        subject: "The report of the night",
        text,
        attachments: job.file && !small ? [{ filename: "report.pdf", path: job.file }] : [],
      });
    }
  }
  // Twice as many as connections, so that none waits for its next message.
  await Promise.all(Array.from({ length: 2 * job.connections }, worker));
}

async function main() {
  await send(job.warm * job.connections, true);
  console.log("ready");
  const orders = readline.createInterface({ input: process.stdin });
  orders.on("close", () => process.exit(0));
  orders.once("line", async () => {
    const begun = process.cpuUsage();
    await send(job.messages, false);
    const used = process.cpuUsage(begun);
    console.log("done", (used.user + used.system) / 1e6);
  });
}

main();
