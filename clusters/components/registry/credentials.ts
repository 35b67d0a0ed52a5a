/** Logins to registries, as `docker login` keeps them (Docker's config.json; docker/docker-credential-helpers, "get"). */

import { join } from "node:path";
import { execa } from "execa";
import { MeshproofError } from "../../../harness/model/errors.ts";
import { findOwnFolder, placeInHome, readOwnFile } from "../../../harness/own.ts";

export interface Login {
  readonly user: string;
  readonly password: string;
}

/** What of config.json is read. */
interface DockerConfig {
  readonly auths?: Readonly<Record<string, { readonly auth?: string; readonly identitytoken?: string } | undefined>>;
  readonly credHelpers?: Readonly<Record<string, string | undefined>>;
  readonly credsStore?: string;
}

/** How config.json names Docker's own registry. */
const DOCKER_HUB = "https://index.docker.io/v1/";

/** A helper may wait for input, which it never gets. */
const HELPER_LIMIT_MS = 20_000;

/**
 * The login that Docker would use for a registry.
 * @param registry as image names have it, such as `docker.io` or `mirror.example:5000`
 * @param folder of config.json; `$DOCKER_CONFIG` or ~/.docker where it is left out
 * @returns undefined where there is none
 * @throws MeshproofError ERR_COMPONENT where config.json or what a credential helper answers cannot be read; ERR_FOREIGN_FILE
 *   where others may write config.json
 */
export async function findLogin(
  registry: string,
  folder = process.env["DOCKER_CONFIG"] || placeInHome(".docker"),
): Promise<Login | undefined> {
  const file = join(folder, "config.json");
  // It may name a program that is run.
  const options = { hint: "name a folder of your own in DOCKER_CONFIG" };
  const own = findOwnFolder(folder, options);
  const text = own && readOwnFile(own, "config.json", options);
  if (text === undefined) return undefined;
  const config = parse<DockerConfig>(text, file);
  const names = registry === "docker.io" ? [DOCKER_HUB, "docker.io"] : [registry, `https://${registry}`];
  for (const name of names) {
    const helper = config.credHelpers?.[name] ?? config.credsStore;
    const found = helper === undefined ? loginOf(config.auths?.[name]?.auth, file) : await askHelper(helper, name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** `user:password` in base64. */
function loginOf(auth: string | undefined, file: string): Login | undefined {
  if (auth === undefined || auth === "") return undefined;
  const text = Buffer.from(auth, "base64").toString("utf8");
  const colon = text.indexOf(":");
  if (colon < 1) throw failure(`${file} has a login that is not user:password in base64`);
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}

async function askHelper(name: string, server: string): Promise<Login | undefined> {
  const program = `docker-credential-${name}`;
  // The name becomes part of a program's: Docker allows no path there either.
  if (!/^[\w.-]+$/.test(name)) throw failure(`"${name}" is not the name of a credential helper`);
  const done = await execa(program, ["get"], { input: server, reject: false, timeout: HELPER_LIMIT_MS });
  if (done.code === "ENOENT") throw failure(`the docker config names the program ${program}, which is not in PATH`);
  // Helpers print this line where they have no login for a server; other failures have other words.
  if (done.failed && /credentials not found/i.test(done.stdout)) return undefined;
  if (done.failed) throw failure(`${program} failed for ${server}`);
  const { Username: user, Secret: password } = parse<{ Username?: unknown; Secret?: unknown }>(done.stdout, program);
  if (typeof user !== "string" || typeof password !== "string")
    throw failure(`${program} answers without Username and Secret`);
  if (user === "<token>")
    throw failure(`${program} has an identity token for ${server}, and meshproof takes a user and a password`);
  return { user, password };
}

function parse<T>(text: string, what: string): T {
  try {
    return JSON.parse(text) as T;
  } catch {
    // Without the parser's own words: they quote the text, which may be a password.
    throw failure(`${what} is not JSON`);
  }
}

function failure(message: string): MeshproofError {
  return new MeshproofError("ERR_COMPONENT", message, {
    hint: "docker login writes a login that meshproof can use; DOCKER_CONFIG names another folder",
  });
}
