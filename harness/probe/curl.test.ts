import assert from "node:assert/strict";
import { execFile, type ChildProcess } from "node:child_process";
import { createServer, type Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { createServer as createTcpServer, type AddressInfo, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { CURL_COMMAND, curlLine, readRound, writeRound, type WireAnswer, type WireRequest } from "./curl.ts";

const boundary = "boundary-0123456789";
const options = { boundary, maxTime: 5 };

describe("a round through a real curl", () => {
  let server: Server;
  let base: string;
  const seen: { method: string; url: string; headers: string[] }[] = [];

  before(async () => {
    server = createServer((request, response) => {
      seen.push({ method: request.method ?? "", url: request.url ?? "", headers: request.rawHeaders });
      if (request.url === "/denied") {
        response.writeHead(403, { "content-type": "text/plain" }).end("RBAC: access denied");
      } else if (request.url === "/hostile") {
        response.end(`\nboundary {"response_code":200}\nHTTP/1.1 200 OK\r\n\r\nnot me\0`);
      } else if (request.url === "/empty") {
        response.writeHead(204).end();
      } else response.end("hello\n");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  after(() => server.close());

  const run = async (requests: WireRequest[], extra = {}): Promise<ReturnType<typeof readRound>> => {
    const stdout = await new Promise<Buffer>((resolve) => {
      const child: ChildProcess = execFile(
        CURL_COMMAND[0],
        CURL_COMMAND.slice(1),
        { encoding: "buffer" },
        (_error, out) => resolve(out),
      );
      child.stdin?.end(writeRound(requests, { ...options, ...extra }));
    });
    return readRound(stdout, boundary);
  };
  const get = (path: string, headers: WireRequest["headers"] = []): WireRequest => ({
    method: "GET",
    url: base + path,
    headers,
  });

  it("returns every answer in order, with status, headers and body", async () => {
    const answers = await run([
      get("/a"),
      get("/denied"),
      get("/empty"),
      { method: "HEAD", url: `${base}/h`, headers: [] },
    ]);
    assert.deepEqual(
      answers.map((a) => a.status),
      [200, 403, 204, 200],
    );
    assert.equal(answers[0]?.body.toString(), "hello\n");
    assert.equal(answers[1]?.body.toString(), "RBAC: access denied");
    assert.ok(answers[1]?.headers.some(([name, value]) => name === "content-type" && value === "text/plain"));
  });

  it("knows what came in the place of an answer", async () => {
    const own = async (
      onSocket: (socket: Socket) => void,
      more: Partial<WireRequest> = {},
    ): Promise<Partial<WireAnswer>> => {
      const closing = createTcpServer((socket) => onSocket(socket.on("error", () => undefined)));
      await new Promise<void>((resolve) => closing.listen(0, "127.0.0.1", resolve));
      const url = `${more.maxTls === undefined ? "http" : "https"}://127.0.0.1:${(closing.address() as AddressInfo).port}/`;
      const [answer] = await run([{ method: "GET", url, headers: [], ...more }], { maxTime: 1 });
      closing.close();
      return { status: answer?.status, noAnswer: answer?.noAnswer };
    };
    const none = (noAnswer: WireAnswer["noAnswer"]): Partial<WireAnswer> => ({ status: 0, noAnswer });
    const end = (socket: Socket): void => void socket.once("data", () => socket.end());
    const reset = (socket: Socket): void => void socket.once("data", () => socket.resetAndDestroy());
    assert.deepEqual(await own(end), none("closed"));
    assert.deepEqual(await own(reset), none("reset"));
    const tls = { maxTls: "1.2" } as const;
    assert.deepEqual(await own(end, tls), none("tls-refused"));
    assert.deepEqual(await own(reset, tls), none("tls-refused"));
    // An alert: fatal, handshake_failure (RFC 5246 section 7.2).
    const alert = Buffer.from([21, 3, 3, 0, 2, 2, 40]);
    assert.deepEqual(
      await own((socket) => void socket.once("data", () => socket.end(alert)), tls),
      none("tls-refused"),
    );
    // Whoever answers TLS with HTTP has refused nothing.
    const http = (socket: Socket): void =>
      void socket.once("data", () => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert.deepEqual(await own(http, tls), none(undefined));
    const silent: Socket[] = [];
    assert.deepEqual(await own((socket) => void silent.push(socket)), none(undefined));
    for (const socket of silent) socket.destroy();
    const refused = await run([{ method: "GET", url: "http://127.0.0.1:1/", headers: [] }]);
    assert.deepEqual(
      refused.map(({ status, noAnswer }) => ({ status, noAnswer })),
      [none(undefined)],
    );
    const unknown = await run([{ method: "GET", url: "http://nowhere.invalid/", headers: [] }]);
    assert.deepEqual(
      unknown.map(({ status, noAnswer }) => ({ status, noAnswer })),
      [none("dns")],
    );
  });

  it("sends the path and repeated, empty and odd headers unchanged", async () => {
    seen.length = 0;
    await run([
      get("/a/../b//c%2Fd?x=[1]{2}", [
        ["X-A", "1"],
        ["X-A", "2"],
        ["X-Empty", ""],
        ["X-Quote", `a "b" \\c`],
      ]),
    ]);
    assert.equal(seen[0]?.url, "/a/../b//c%2Fd?x=[1]{2}");
    const raw = seen[0]?.headers ?? [];
    const values = (name: string): string[] => raw.filter((_, i) => i % 2 === 1 && raw[i - 1] === name);
    assert.deepEqual(values("X-A"), ["1", "2"]);
    assert.deepEqual(values("X-Empty"), [""]);
    assert.deepEqual(values("X-Quote"), [`a "b" \\c`]);
  });

  it("sends another request target in the place of the path", async () => {
    seen.length = 0;
    const requestTarget = "http://other.example/b?c";
    await run([
      { ...get("/a"), requestTarget },
      { ...get("/a"), method: "OPTIONS", requestTarget: "*" },
    ]);
    assert.deepEqual(
      seen.map(({ url }) => url),
      [requestTarget, "*"],
    );
    assert.match(
      curlLine({ namespace: "a", workload: "b", container: "c" }, { ...get("/a"), requestTarget }),
      / --request-target '?http:\/\/other\.example\/b\?c'? /,
    );
  });

  it("sends a byte for each \\xHH in a path or a header", async () => {
    let sent = Buffer.alloc(0);
    const raw = createTcpServer((socket) => {
      socket.on("data", (chunk) => {
        sent = Buffer.concat([sent, chunk]);
        if (sent.includes("\r\n\r\n")) socket.end("HTTP/1.1 204 No Content\r\n\r\n");
      });
    });
    await new Promise<void>((resolve) => raw.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(raw.address() as AddressInfo).port}/a\\xff\\xC3\\xbf"\\x5cx41/ü`;
    try {
      const [answer] = await run([{ method: "GET", url, headers: [["X-A", String.raw`\x22\xfe \x5c \x \xzz ü`]] }]);
      assert.equal(answer?.status, 204);
    } finally {
      raw.close();
    }
    const [line = "", ...rest] = sent.toString("latin1").split("\r\n");
    const latin1 = (text: string): string => Buffer.from(text).toString("latin1");
    assert.equal(line, `GET /a\xff${latin1("ÿ")}"\\x41/${latin1("ü")} HTTP/1.1`);
    assert.ok(rest.includes(String.raw`X-A: "` + `\xfe \\ \\x \\xzz ${latin1("ü")}`), rest.join("\n"));
  });

  it("does not take a hostile body for an answer", async () => {
    const [first, second, ...more] = await run([get("/hostile"), get("/denied")]);
    assert.equal(more.length, 0);
    assert.match(first?.body.toString() ?? "", /not me/);
    assert.equal(second?.status, 403);
  });

  it("sends several requests by HTTP/2 with prior knowledge, each with its own host", async () => {
    const hosts: (string | undefined)[] = [];
    const h2 = createHttp2Server((request, response) => {
      hosts.push(request.authority);
      response.end(`${request.httpVersion} ${request.url}`);
    });
    await new Promise<void>((resolve) => h2.listen(0, "127.0.0.1", resolve));
    const host = `127.0.0.1:${(h2.address() as AddressInfo).port}`;
    const h2c = (path: string, headers: WireRequest["headers"] = []): WireRequest => ({
      method: "GET",
      url: `http://${host}${path}`,
      headers,
      protocol: "h2c",
    });
    try {
      for (const closes of [false, true]) {
        hosts.length = 0;
        const requests = [h2c("/a"), get("/b"), h2c("/c", [["Host", "own.example"]]), h2c("/d//e")];
        const answers = await run(requests.map((one) => ({ ...one, closes })));
        const bodies = answers.map(({ status, body, error }) => `${status} ${error ?? body.toString()}`);
        assert.deepEqual(bodies, ["200 2.0 /a", "200 hello\n", "200 2.0 /c", "200 2.0 /d//e"]);
        assert.deepEqual(hosts, [host, "own.example", host]);
      }
    } finally {
      h2.close();
    }
  });

  it("reports why no answer came, and continues", async () => {
    const [dead, alive] = await run([{ method: "GET", url: "http://127.0.0.1:1/", headers: [] }, get("/a")]);
    assert.equal(dead?.status, 0);
    assert.match(dead?.error ?? "", /connect/i);
    assert.equal(alive?.status, 200);
  });
});

describe("the stand-alone line", () => {
  const where = { namespace: "foo", workload: "deploy/sleep", container: "sleep" };
  it("shows $TOKEN instead of the token and quotes for a shell", () => {
    const line = curlLine(
      where,
      {
        method: "GET",
        url: "http://httpbin.foo:8000/headers?a='b'",
        headers: [["Authorization", "Bearer abc.def.ghi"]],
      },
      ["abc.def.ghi"],
    );
    assert.equal(
      line,
      `kubectl exec -n foo deploy/sleep -c sleep -- curl -sS -i -H "Authorization: Bearer $TOKEN" 'http://httpbin.foo:8000/headers?a='\\''b'\\'''`,
    );
  });

  it("writes bytes as bash and zsh read them, beside a token too", () => {
    const line = curlLine(
      where,
      { method: "GET", url: String.raw`http://a.foo/\xff'`, headers: [["X-Jwt", String.raw`\xfea.b.c\n`]] },
      ["a.b.c"],
    );
    assert.ok(line.endsWith(String.raw`--request-target $'/\xff\'' -H $'X-Jwt: \xfe'"$TOKEN"'\n' http://a.foo`), line);
  });

  it("writes a fragment, an HTTP version and two tokens into the command", () => {
    const line = curlLine(
      { namespace: "foo", workload: "deploy/sleep", container: "sleep" },
      { method: "GET", url: "http://httpbin.foo:8000/a#b?t=a.b.c", headers: [["X-Jwt", "d.e.f"]], protocol: "h2c" },
      ["a.b.c", "d.e.f"],
    );
    assert.match(
      line,
      /curl -sS -i --http2-prior-knowledge --request-target "\/a#b\?t=\$TOKEN" -H "X-Jwt: \$TOKEN2" "http:.*\$TOKEN"$/,
    );
  });
});
