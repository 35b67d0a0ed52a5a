import assert from "node:assert/strict";
import { test } from "node:test";
import { commandOf, configFiles } from "./control-plane.ts";
import { NODE_CONFIG, NODE_PROGRAMS, NODE_SOCKETS } from "./node-layout.ts";
import { createPki } from "./pki.ts";

const files = configFiles(createPki());

test("every file that a command line or a configuration names is written", () => {
  const texts = [...NODE_PROGRAMS.flatMap(commandOf), files["kube-proxy.yaml"] ?? "", files["Corefile"] ?? ""];
  const named = texts.flatMap((text) => text.match(new RegExp(`${NODE_CONFIG}/[\\w.-]+`, "g")) ?? []);
  assert.ok(named.length > 10);
  for (const path of named) assert.ok(path.slice(NODE_CONFIG.length + 1) in files, path);
});

test("the API server authorizes by RBAC, knows no static tokens and no anonymous users", () => {
  const flags = commandOf("kube-apiserver");
  assert.ok(flags.includes("--authorization-mode=Node,RBAC"));
  assert.ok(flags.includes("--anonymous-auth=false"));
  assert.ok(!flags.some((flag) => /token-auth-file|insecure/.test(flag)));
  assert.ok(flags.some((flag) => flag.startsWith("--kubelet-certificate-authority=")));
});

test("etcd, which has no authentication, listens on no address that a pod on the node's network can reach", () => {
  const listens = commandOf("etcd").flatMap((flag) => /^--listen-[\w-]+-urls=(.*)$/.exec(flag)?.[1] ?? []);
  assert.equal(listens.length, 2);
  // A path would be dropped from the peers' one, and an abstract socket taken, which belongs to the network.
  const [clients, peers] = listens;
  assert.equal(clients, `unix://${NODE_SOCKETS}/etcd`);
  assert.match(peers ?? "", /^unix:\/\/[^/@]+$/);
  assert.deepEqual(commandOf("etcd").slice(0, 2), ["env", `--chdir=${NODE_SOCKETS}`]);
  assert.ok(commandOf("kube-apiserver").includes(`--etcd-servers=${clients}`));
});
