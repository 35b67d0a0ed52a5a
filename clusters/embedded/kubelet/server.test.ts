import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { request, type RequestOptions } from "node:https";
import type { IncomingMessage } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { WebSocket } from "ws";
import { createAuthority, issueCertificate } from "../certificate.ts";
import type { ContainerWorker } from "./container-worker.ts";
import { ContainerLogs } from "./logs.ts";
import type { PodWorker } from "./pod-worker.ts";
import { serveKubelet } from "./server.ts";

const authority = createAuthority("ca");
const server = issueCertificate(authority, { commonName: "node" }, ["127.0.0.1"]);
const client = issueCertificate(authority, { commonName: "api-server" });
const stranger = issueCertificate(createAuthority("other"), { commonName: "api-server" });
const asClient = ({ certificate, privateKey }: typeof client): RequestOptions => ({
  ...{ ca: authority.certificate, cert: certificate, key: privateKey, host: "127.0.0.1", agent: false },
});

describe("the kubelet's API", { timeout: 30_000 }, () => {
  let dir: string;
  let port: number;
  let stop: () => Promise<void>;
  let logs: ContainerLogs;
  let pods: PodWorker[];

  const podOf = (name: string, containers: Partial<ContainerWorker>[], more: Partial<PodWorker> = {}): PodWorker =>
    ({ pod: { metadata: { namespace: "foo", name } }, containers, ...more }) as unknown as PodWorker;
  const containerOf = (state: object, more: object = {}): Partial<ContainerWorker> =>
    ({ spec: { name: "c" }, logs, record: { state }, ...more }) as unknown as Partial<ContainerWorker>;

  before(async () => {
    dir = mkdtempSync(path.join(tmpdir(), "meshproof-kubelet-"));
    port = await freePort();
    const tls = { cert: server.certificate, key: server.privateKey, clientCa: authority.certificate };
    stop = await serveKubelet({ address: "127.0.0.1", port, tls, workers: () => pods, log: () => undefined });
  });
  after(async () => {
    await stop();
    rmSync(dir, { recursive: true });
  });
  beforeEach((context) => {
    logs = new ContainerLogs(path.join(dir, context.name.replaceAll(/\W/g, "-")));
    pods = [podOf("p", [containerOf({ kind: "running" })])];
  });

  const open = (url: string, options = asClient(client)): Promise<IncomingMessage> =>
    new Promise((resolve, reject) =>
      request({ ...options, port, path: url }, resolve)
        .on("error", reject)
        .end(),
    );
  const ask = async (url: string): Promise<readonly [status: number | undefined, body: string]> => {
    const response = await open(url);
    return [response.statusCode, Buffer.concat(await response.toArray()).toString()];
  };
  const refusal = (url: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = new WebSocket(`wss://127.0.0.1:${port}${url}`, ["v5.channel.k8s.io"], asClient(client));
      socket.on("open", () => reject(new Error("it is served")));
      socket.on("error", () => undefined);
      socket.on("unexpected-response", (_request, response: IncomingMessage) => {
        void response.toArray().then((chunks) => resolve(`${response.statusCode} ${Buffer.concat(chunks).toString()}`));
      });
    });

  it("is served only to a client with a certificate of the cluster's CA", async () => {
    assert.deepEqual(await ask("/healthz"), [200, "ok"]);
    await assert.rejects(open("/healthz", asClient(stranger)));
    const { cert: _cert, key: _key, ...anonymous } = asClient(client);
    await assert.rejects(open("/healthz", anonymous));
  });

  it("lists all pods, or those that have a running container", async () => {
    pods = [podOf("over", [{}]), podOf("p", [{}, { running: {} as never }])];
    const names = async (url: string): Promise<unknown[]> => {
      const { items } = JSON.parse((await ask(url))[1]) as { items: { metadata: { name: string } }[] };
      return items.map(({ metadata: { name } }) => name);
    };
    assert.deepEqual([await names("/pods"), await names("/runningpods/")], [["over", "p"], ["p"]]);
  });

  it("gives the log of the current run or the one before, up to so many bytes", async () => {
    logs.startRun().append("stdout", Buffer.from("before\n"));
    logs.startRun().append("stdout", Buffer.from("one\ntwo\n"));
    const log = "/containerLogs/foo/p/c";
    assert.deepEqual(await ask(log), [200, "one\ntwo\n"]);
    assert.deepEqual(await ask(`${log}?previous=true`), [200, "before\n"]);
    assert.deepEqual(await ask(`${log}?tailLines=1`), [200, "two\n"]);
    assert.deepEqual(await ask(`${log}?limitBytes=5`), [200, "one\nt"]);
  });

  it("follows a log without losing or repeating a line, until the container ends", async () => {
    const run = logs.startRun();
    run.append("stdout", Buffer.from("one\n"));
    const response = await open("/containerLogs/foo/p/c?follow=true");
    const cut = await open("/containerLogs/foo/p/c?follow=true&limitBytes=5");
    run.append("stdout", Buffer.from("two\n"));
    assert.equal(Buffer.concat(await cut.toArray()).toString(), "one\nt");
    run.end();
    assert.equal(Buffer.concat(await response.toArray()).toString(), "one\ntwo\n");
  });

  it("gives the reason for a missing log", async () => {
    assert.deepEqual(await ask("/containerLogs/foo/q/c"), [404, 'pod "q" does not exist']);
    assert.deepEqual(await ask("/containerLogs/bar/p/c"), [404, 'pod "p" does not exist']);
    assert.deepEqual(await ask("/containerLogs/foo/p/d"), [404, 'container "d" not found in pod "p"']);
    assert.deepEqual(await ask("/containerLogs/foo/p/c?previous=true"), [
      400,
      'previous terminated container "c" not found',
    ]);
    pods = [podOf("p", [containerOf({ kind: "waiting", reason: "PodInitializing" })])];
    assert.deepEqual(await ask("/containerLogs/foo/p/c"), [400, 'container "c" is waiting to start: PodInitializing']);
    pods = [podOf("p", [containerOf({ kind: "waiting", reason: "ImagePullBackOff" })])];
    assert.match((await ask("/containerLogs/foo/p/c"))[1], /failing to pull image$/);
  });

  it("refuses a query that it cannot read, and what it does not serve", async () => {
    logs.startRun();
    assert.equal((await ask("/containerLogs/foo/p/c?tailLines=-1"))[0], 400);
    assert.deepEqual(await ask("/stats"), [404, "/stats is not served"]);
    assert.equal(await refusal("/run/foo/p/c"), "404 /run/foo/p/c is not served");
  });

  it("runs commands only in a container that runs, and forwards only to a pod with a network", async () => {
    const command = "/exec/foo/p/c?command=true&stdout=1";
    assert.match(await refusal(command), /^400 container not found \("c"\)/);
    assert.match(await refusal("/exec/foo/q/c?command=true"), /^404 pod "q"/);
    pods = [podOf("p", [containerOf({ kind: "running" }, { running: {} })])];
    assert.match(await refusal("/exec/foo/p/c?stdout=1"), /^400 you must specify at least one command/);
    assert.equal(await refusal("/portForward/foo/p?port=80"), '400 pod "p" has no network yet');
  });
});

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => probe.once("listening", resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
