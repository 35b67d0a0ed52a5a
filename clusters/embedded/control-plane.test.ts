import assert from "node:assert/strict";
import { test } from "node:test";
import { commandOf, configFiles } from "./control-plane.ts";
import { NODE_CONFIG, NODE_PROGRAMS } from "./node-layout.ts";
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
