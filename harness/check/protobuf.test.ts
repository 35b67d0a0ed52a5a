import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readResponse, writeRequest } from "./protobuf.ts";

describe("xDS messages", () => {
  it("writes a request as Protobuf does", () => {
    const metadata = { NAMESPACE: "foo", on: true, n: 1, list: ["a"], none: null, left: undefined };
    const written = writeRequest({ node: { id: "n", cluster: "c", metadata }, typeUrl: "t", names: ["r"], nonce: "x" });
    // Field numbers of envoy.service.discovery.v3 and google.protobuf.Struct; each part begins with its tag and length.
    assert.equal(
      written.toString("hex"),
      [
        "1253",
        "0a016e",
        "120163",
        "1a4b",
        "0a120a094e414d45535041434512051a03666f6f",
        "0a080a026f6e12022001",
        "0a0e0a016e120911000000000000f03f",
        "0a0f0a046c697374120732050a031a0161",
        "0a0a0a046e6f6e6512020800",
        "1a0172",
        "220174",
        "2a0178",
      ].join(""),
    );
  });

  it("reads a response without its resources, however long they are", () => {
    const long = Buffer.alloc(300, 7);
    const message = Buffer.concat([
      Buffer.from("0a0176", "hex"), // version_info: "v"
      Buffer.from([0x12, 0xac, 0x02]),
      long, // a resource
      Buffer.from("1801", "hex"), // canary
      Buffer.from("220174", "hex"), // type_url: "t"
      Buffer.from("2a0178", "hex"), // nonce: "x"
    ]);
    assert.deepEqual(readResponse(message), { version: "v", typeUrl: "t", nonce: "x" });
  });

  it("does not read a message that is cut short", () => {
    assert.throws(() => readResponse(Buffer.from([0x0a])), RangeError);
  });
});
