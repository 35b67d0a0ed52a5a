/** How a Playwright worker asks the process that owns the cluster for a mesh setting: one HTTP request on a unix socket. */

import { createServer, request, type Server } from "node:http";
import type { MeshSetting } from "../../clusters/cluster.ts";
import { MeshproofError, type ErrorCode } from "../errors.ts";

/** Serves settings until closed. The socket's folder is private to the user. */
export async function serveControl(socket: string, setMesh: (setting: MeshSetting) => Promise<void>): Promise<Server> {
  const server = createServer((incoming, response) => {
    let body = "";
    incoming.setEncoding("utf8");
    incoming.on("data", (chunk: string) => (body += chunk));
    incoming.on("end", () => {
      setMesh(JSON.parse(body) as MeshSetting).then(
        () => response.end("{}"),
        (error: unknown) => {
          const known = error instanceof MeshproofError ? error : undefined;
          response.statusCode = 500;
          response.end(
            JSON.stringify({ code: known?.code ?? "ERR_MESH_SETTING", message: known?.message ?? String(error) }),
          );
        },
      );
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socket, resolve);
  });
  return server;
}

/** Brings the mesh to a setting. @throws what the owner's setMesh threw. */
export async function requestMesh(socket: string, setting: MeshSetting): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const outgoing = request({ socketPath: socket, method: "POST", path: "/mesh" }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.on("end", () => {
        if (response.statusCode === 200) return resolve();
        const { code, message } = JSON.parse(body) as { code: ErrorCode; message: string };
        reject(new MeshproofError(code, message));
      });
    });
    outgoing.on("error", reject);
    outgoing.end(JSON.stringify(setting));
  });
}
