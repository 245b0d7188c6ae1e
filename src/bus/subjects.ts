/** The subjects of version 1. Ids are random per process start, so nothing can reach a former self. */

const ROOT = 'llamaestro.v1';

/** Verbs a host answers as requests. */
export type Verb = 'gen' | 'embed' | 'rerank' | 'tokenize' | 'ctl' | 'plan';

export const subjects = {
  /** One host, one verb. */
  host: (hid: string, verb: Verb): string => `${ROOT}.host.${hid}.${verb}`,
  /** Commands to one node agent. */
  node: (nid: string): string => `${ROOT}.node.${nid}.ctl`,
  /** Frames back to one gateway. */
  out: (gid: string): string => `${ROOT}.out.${gid}`,
  hostEvents: (hid: string): string => `${ROOT}.evt.host.${hid}`,
  allHostEvents: `${ROOT}.evt.host.*`,
  nodeEvents: (nid: string): string => `${ROOT}.evt.node.${nid}`,
  allNodeEvents: `${ROOT}.evt.node.*`,
} as const;
