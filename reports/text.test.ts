import assert from "node:assert/strict";
import { test } from "node:test";
import { cut, formatBytes, formatDuration, removeSecrets, visible } from "./text.ts";

test("characters that could act or hide become symbols", () => {
  assert.equal(visible("a\u0000b\u001b[31m\u007f"), "a␀b␛[31m␡");
  assert.equal(visible("\u202egnp.exe\u2066 \u200b\ufeff"), "⟨U+202E⟩gnp.exe⟨U+2066⟩ ⟨U+200B⟩⟨U+FEFF⟩");
  assert.equal(visible("\u2028\u2029\u0085\ud800"), "⟨U+2028⟩⟨U+2029⟩⟨U+0085⟩⟨U+D800⟩");
  assert.equal(visible("ünïcode 😀 中文"), "ünïcode 😀 中文");
});

test("line feeds and tabs stay only where lines are meant", () => {
  assert.equal(visible("a\n\tb\r"), "a␊␉b␍");
  assert.equal(visible("a\n\tb\r", { lines: true }), "a\n\tb␍");
});

test("a cut never splits a character and says how much there was", () => {
  assert.equal(cut("short", 5), "short");
  assert.equal(cut("é".repeat(10), 5), "éé… (cut: 5 B of 20 B)");
  assert.equal(cut("😀😀", 6), "😀… (cut: 6 B of 8 B)");
  assert.ok(cut("A".repeat(10 * 1024 * 1024), 2048).endsWith("A… (cut: 2 KiB of 10 MiB)"));
});

test("sizes and durations are for people", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 5 * 1024 * 1024].map(formatBytes), [
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "5 MiB",
  ]);
  assert.deepEqual([12, 147, 994, 996, 59_940, 59_990, 125_400].map(formatDuration), [
    "12 ms",
    "0.15 s",
    "0.99 s",
    "1.0 s",
    "59.9 s",
    "1 min 0 s",
    "2 min 5 s",
  ]);
});

test("a token keeps header and payload, never its signature", () => {
  const token = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl-_";
  const safe = removeSecrets(`{"Authorization": ["Bearer ${token}"]} ${token}`);
  assert.equal(
    safe,
    `{"Authorization": ["Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.(signature removed)"]} eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.(signature removed)`,
  );
  assert.equal(removeSecrets(safe), safe);
  assert.equal(removeSecrets("host eyebrow1.foo.svc.cluster.local"), "host eyebrow1.foo.svc.cluster.local");
});

test("private keys go, as PEM and as JWK, whole or cut short", () => {
  const pem = "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----";
  assert.equal(removeSecrets(`a ${pem} b`), "a (PRIVATE KEY removed) b");
  assert.equal(removeSecrets("-----BEGIN RSA PRIVATE KEY-----\nMIIE"), "(RSA PRIVATE KEY removed)");
  const secret = "c2VjcmV0c2VjcmV0c2VjcmV0";
  assert.equal(removeSecrets(`{"kty":"oct","k":"${secret}"}`), '{"kty":"oct","k":"(removed)"}');
  assert.equal(
    removeSecrets(String.raw`jwks: "{\"kty\":\"RSA\",\"n\":\"abc\",\"d\": \"${secret}\"}"`),
    String.raw`jwks: "{\"kty\":\"RSA\",\"n\":\"abc\",\"d\": \"(removed)\"}"`,
  );
  assert.ok(!removeSecrets(`{"kty":"oct","k":"${secret}`).includes(secret));
});
