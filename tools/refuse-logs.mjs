// Loaded into every process of a run (NODE_OPTIONS): no container's log can be read. See faults.ts.
import https from "node:https";
import { syncBuiltinESMExports } from "node:module";
import { Log } from "@kubernetes/client-node";

Log.prototype.log = () => Promise.reject(new Error("pods/log is forbidden, for a test"));

const { request } = https;
https.request = (url, ...rest) => {
  // A path that the API server does not have: it refuses.
  if (url instanceof URL && /\/pods\/[^/]+\/log$/.test(url.pathname)) url.pathname += "-that-nobody-has";
  return request(url, ...rest);
};
syncBuiltinESMExports();
