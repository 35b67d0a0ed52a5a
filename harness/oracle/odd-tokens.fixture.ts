/** Odd tokens, and Envoy's status of each before it looks at issuer and signature. */

const OK = "Ok";
const JSON_STATUS = "Jwt payload is an invalid JSON";
const BASE64 = "Jwt payload is an invalid Base64url encoded";

const withBytes = (...bytes: number[]): Buffer =>
  Buffer.concat([Buffer.from('{"iss":"i","a":"'), Buffer.from(bytes), Buffer.from('"}')]);
const nested = (levels: number): string => `{"iss":"i","x":${"[".repeat(levels)}${"]".repeat(levels)}}`;

const good = ["1e5", "-0", '"\\u0000"', '"\\ud83d\\ude00"', `"\\'"`, '"\\U0041"', `"'"`, `'"'`, '"\n"', '"\0"', "[1,]"];
const bad = [
  ...[
    "NaN",
    "Infinity",
    "01",
    "1.",
    ".5",
    "+1",
    "-01",
    "-",
    "1e",
    "0x1",
    "[1a]",
    "1e999",
    "True",
    "[,]",
    "[1,,2]",
    "[1 2]",
  ],
  ...['"\\ud800"', '"\\x41"', '"\\v"', '"\\u12"', "1/*x*/"],
];

export const ODD_PAYLOADS: readonly (readonly [payload: string | Buffer, status: string])[] = [
  ...good.map((value) => [`{"iss":"i","a":${value}}`, OK] as const),
  ...bad.map((value) => [`{"iss":"i","a":${value}}`, JSON_STATUS] as const),
  ["{'iss':'i'}", OK],
  ['{iss:"i"}', OK],
  ['{"iss":"i",}', OK],
  ['{"iss":"i"} \n', OK],
  [' {"iss":"i"}', OK],
  ['{"iss":"i","":1}', OK],
  ['{"iss":"i","__proto__":{"x":1}}', OK],
  ["null", OK],
  [nested(99), OK],
  [nested(100), JSON_STATUS],
  ['{"iss":"x","iss":"i"}', JSON_STATUS],
  ['{"iss":"i","\\u0069ss":"i"}', JSON_STATUS],
  ['{"iss":"i","a":{"b":1,"b":2}}', JSON_STATUS],
  ['{"iss":"i",$a:1}', JSON_STATUS],
  ['{"iss":"i",1a:1}', JSON_STATUS],
  ['{"iss":"i",a-b:1}', JSON_STATUS],
  ['{"iss":"i",true:1}', JSON_STATUS],
  ['{"iss":"i",:1}', JSON_STATUS],
  ['{"iss":"i",,"a":1}', JSON_STATUS],
  ['{,"iss":"i"}', JSON_STATUS],
  ['{"iss":"i" "a":1}', JSON_STATUS],
  ['{"iss":"i",\v"a":1}', JSON_STATUS],
  ['{"iss":"i"} x', JSON_STATUS],
  ['{"iss":"i"}{}', JSON_STATUS],
  ["[]", JSON_STATUS],
  ['\ufeff{"iss":"i"}', JSON_STATUS],
  [withBytes(0xff), JSON_STATUS],
  [withBytes(0xc0, 0x80), JSON_STATUS],
  ['{"iss":"i","exp":1e20}', "Jwt payload [exp] field is not a positive 64 bit integer"],
  ['{"iss":"i","exp":-1}', "Jwt payload [exp] field is not a positive 64 bit integer"],
  ['{"iss":"i","exp":"4102444800"}', "Jwt payload [exp] field is not an integer"],
  ['{"iss":"i","nbf":null}', "Jwt payload [nbf] field is not an integer"],
  ['{"iss":"i","iat":1.5}', OK],
  ['{"iss":null}', "Jwt payload [iss] field is not a string"],
  ['{"iss":"i","sub":null}', "Jwt payload [sub] field is not a string"],
  ['{"iss":"i","jti":1}', "Jwt payload [jti] field is not a string"],
  ['{"iss":"i","aud":["a",1]}', "Jwt payload [aud] field is not a string or string list"],
  ['{"iss":"i","aud":[]}', OK],
];

export const ODD_HEADERS: readonly (readonly [header: string, status: string])[] = [
  ['{"alg":"none","alg":"RS256","kid":"k"}', "Jwt header is an invalid JSON"],
  ['{"alg":"RS256","kid":null}', "Jwt header [kid] field is not a string"],
  ['{"alg":null,"kid":"k"}', "Jwt header [alg] field is required and must be a string"],
  ['{"alg":"RS256","kid":"k","crit":["x"]}', OK],
];

type Odd = (header: string, payload: string, signature: string) => string;

/** By the parts of a good token. */
export const ODD_TOKENS: readonly (readonly [words: string, odd: Odd, status: string])[] = [
  ["a padded payload", (h, _, s) => `${h}.${Buffer.from('{"iss":"i","sub":"s1"}').toString("base64url")}==.${s}`, OK],
  [
    "a payload with too little padding",
    (h, _, s) => `${h}.${Buffer.from('{"iss":"i","sub":"s1"}').toString("base64url")}=.${s}`,
    BASE64,
  ],
  [
    "a payload in plain base64",
    (h, _, s) => `${h}.${Buffer.from('{"iss":"i","a":"??>>~~~"}').toString("base64")}.${s}`,
    BASE64,
  ],
  ["a blank in the payload", (h, p, s) => `${h}.${p.slice(0, 5)} ${p.slice(5)}.${s}`, OK],
  ["a word before the token", (h, p, s) => `Token ${h}.${p}.${s}`, "Jwt header is an invalid JSON"],
  ["a semicolon behind the token", (h, p, s) => `${h}.${p}.${s};x`, "Jwt signature is an invalid Base64url encoded"],
];
