import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { serveApi, type Ran } from "./api-server.fixture.ts";
import { askProxy, dumpRequestConfig } from "./proxy-dump.ts";

const POD = { namespace: "foo", pod: "httpbin-1" };
const printing = (ran: Ran) => ({ exec: () => ran });

describe("a proxy's admin interface", () => {
  it("is asked through pilot-agent in the proxy's container", async (t) => {
    const asked: string[] = [];
    const kube = await serveApi(t, {
      exec: (command, container) => (asked.push(`${container}: ${command.join(" ")}`), { stdout: '{"state":"LIVE"}' }),
    });
    assert.deepEqual(await askProxy(kube, POD, "server_info"), { state: "LIVE" });
    assert.deepEqual(asked, ["istio-proxy: pilot-agent request GET server_info"]);
  });

  it("may answer after a warning, which is not a part of the answer", async (t) => {
    const kube = await serveApi(t, printing({ stdout: 'warn: no root {certificates}\n{"a":\n1}\n' }));
    assert.deepEqual(await askProxy(kube, POD, "server_info"), { a: 1 });
  });

  it("that answers no JSON is an error with the beginning of both outputs", async (t) => {
    const kube = await serveApi(t, printing({ stdout: "x".repeat(500), stderr: `refused ${"y".repeat(500)}` }));
    await assert.rejects(askProxy(kube, POD, "server_info"), ({ code, message }: { code: string; message: string }) => {
      assert.equal(code, "ERR_PROBE");
      assert.match(message, /^the proxy of foo\/httpbin-1 does not answer server_info: x{100}\nrefused y+$/);
      assert.ok(message.length < 400);
      return true;
    });
  });
});

it("what decides about requests is read in one dump, without secrets and clusters", async (t) => {
  const configs: Record<string, unknown> = {
    "config_dump?resource=dynamic_listeners": { configs: [{ name: "a" }, { name: "b" }] },
    "config_dump?resource=dynamic_route_configs": {},
    "config_dump?mask=bootstrap.layered_runtime,bootstrap.node.user_agent_build_version,bootstrap.node.id": {
      configs: [{ name: "c" }],
    },
  };
  const kube = await serveApi(t, { exec: (command) => ({ stdout: JSON.stringify(configs[command.at(-1) ?? ""]) }) });
  assert.deepEqual(await dumpRequestConfig(kube, POD), { configs: [{ name: "a" }, { name: "b" }, { name: "c" }] });
});
