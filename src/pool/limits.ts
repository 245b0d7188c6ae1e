/** Every number the pool waits by or bounds itself with, named in one place. Knows no mechanism: the files that use a limit say what happens at it. */

const MIB = 2 ** 20;

export interface PoolLimits {
  /** Requests that may wait for one model; the next is `queue_full`. */
  readonly maxWaiting: number;
  /** A host that is leased and says nothing for this long is stuck. Hosts speak once a second while they work. */
  readonly silenceMs: number;
  /** The same for one that nobody leases: idle hosts speak every two seconds. */
  readonly idleSilenceMs: number;
  /** While the node agent too was silent for longer than the first and shorter than the second, the bus is suspected, not the host. */
  readonly nodeSuspectMs: number;
  readonly nodeSilenceMs: number;
  /** The same while it loads, when a disk may stop even its native thread for a while. */
  readonly loadSilenceMs: number;
  /** One whose native thread lives may leave the bus without a word for so long. */
  readonly deafMs: number;
  /** Between two looks at all hosts. */
  readonly lookMs: number;
  /** A load without progress for this long is ended. */
  readonly loadStallMs: number;
  /** Time for a load: the profile's load timeout plus this for each GiB planned; progress extends it. */
  readonly loadPerGibMs: number;
  /** However it goes on, no load takes longer. */
  readonly longestLoadMs: number;
  /** A load that nobody wants any more goes on for so long: clients that lost patience come again within seconds. */
  readonly unwantedLoadMs: number;
  /** From spawn to the host's first word. */
  readonly startMs: number;
  /** A decode step that takes this long counts as a long one; a chunk is made to take a quarter of a second. */
  readonly longStepMs: number;
  /** One that takes this long is a hang, or four times as long as the longest that came to an end, at most the second. */
  readonly stepStallMs: number;
  readonly longestStepStallMs: number;
  /** How late a timer of ours must be before we suspect ourselves and give every host a fresh period. */
  readonly selfBlockedMs: number;
  /** Time for running sequences to end before an unload ends them. */
  readonly drainMs: number;
  /** From the exit command to the kill, and between kills. */
  readonly exitGraceMs: number;
  /** On top of it for a host that saves its prefixes before. */
  readonly leaveGraceMs: number;
  /** From SIGTERM to SIGKILL inside the node agent. */
  readonly killGraceMs: number;
  /** First and longest pause after a crash; it doubles in between. */
  readonly backoffFirstMs: number;
  readonly backoffLastMs: number;
  /** A host that stood this long starts a new count of crashes. */
  readonly stableMs: number;
  /** Failures of a former life of the gateway are remembered for so long. */
  readonly forgetCrashMs: number;
  /** Requests that wait for nobody's work for so long say that the scheduler lost them. */
  readonly schedulerStuckMs: number;
  /** A host that makes less than this share of the tokens per second usual for its model is slow, … */
  readonly slowShare: number;
  /** … and worn out when it was so for this long, in so many comparisons. */
  readonly slowMs: number;
  readonly slowSamples: number;
  /** Above this share of time in which something waited for a CPU, no speed is judged. */
  readonly mostCpuPressure: number;
  /** Memory beyond plan and what comes on top creeps when it is more than this share and these bytes, … */
  readonly creepShare: number;
  readonly creepBytes: number;
  /** … after so many looks, so far apart, each of them by at least these bytes more than the one before. */
  readonly creepLooks: number;
  readonly creepLookMs: number;
  readonly creepStepBytes: number;
  /** A model's process is replaced because it wears out at most once in this time. */
  readonly recyclePeriodMs: number;
  /** How long a failure that would only repeat itself (a damaged file, a model that cannot fit) is remembered. */
  readonly cooldownMs: number;
  /** After so many crashes in a row before ready, those who wait are told instead of kept. */
  readonly maxLoadCrashes: number;
  /** An attempt that its host does not list for this long is over, whatever became of its last frame. */
  readonly unlistedMs: number;
  /** How often the host hears which attempts are still ours; it cancels what is not renewed for 15 s. */
  readonly renewMs: number;
  /** Half-life of the use count that decides who is unloaded first. */
  readonly heatHalfLifeMs: number;
  /** The longest that a model's load protects it from being unloaded to make room. */
  readonly leastStayMs: number;
  /** A load that waited so long for models in use has them told to finish. */
  readonly overdueMs: number;
  /** How long after a host's end the device's free bytes may still lag; drivers take up to two seconds. */
  readonly settleMs: number;
  /** A reading of free bytes counts as one of a quiet moment once nothing ended for so long. */
  readonly quietMs: number;
  /** How often free bytes are read again while they lag. */
  readonly settlePollMs: number;
  /** How often a device under quarantine is looked at, and after which time what it misses counts as another's. */
  readonly quarantineLookMs: number;
  readonly quarantineMs: number;
  /** Hosts without a model that wait for the next load: 0 or 1. */
  readonly spareHosts: number;
  /** From the last load to the start of a spare host, and from the end of one that died to the next. */
  readonly spareDelayMs: number;
  readonly spareRetryMs: number;
  /** Kept free on the CPU and on each GPU: other programs, growth, and what no simulation sees. */
  readonly cpuHeadroomBytes: number;
  readonly gpuHeadroomBytes: number;
  /** Kept for a host beyond its plan until it is measured: the process itself, and the device context on each GPU it touches. */
  readonly cpuOverheadBytes: number;
  readonly gpuOverheadBytes: number;
  /** Answers of the node agent: lists and commands, and work that reads a model file. */
  readonly nodeCommandMs: number;
  readonly nodeWorkMs: number;
  /** Commands to a host, and counting on it. */
  readonly hostCommandMs: number;
  /** Longest wait for the hosts when the pool closes. */
  readonly closeMs: number;
}

export const DEFAULT_LIMITS: PoolLimits = {
  maxWaiting: 256,
  silenceMs: 5_000,
  idleSilenceMs: 6_000,
  nodeSuspectMs: 2_500,
  nodeSilenceMs: 15_000,
  loadSilenceMs: 15_000,
  deafMs: 10_000,
  lookMs: 500,
  loadStallMs: 30_000,
  loadPerGibMs: 10_000,
  longestLoadMs: 6 * 3600_000,
  unwantedLoadMs: 3_000,
  startMs: 30_000,
  longStepMs: 1_000,
  stepStallMs: 60_000,
  longestStepStallMs: 300_000,
  selfBlockedMs: 500,
  drainMs: 30_000,
  exitGraceMs: 5_000,
  leaveGraceMs: 5_000,
  killGraceMs: 2_000,
  backoffFirstMs: 1_000,
  backoffLastMs: 60_000,
  stableMs: 60_000,
  forgetCrashMs: 24 * 3600_000,
  schedulerStuckMs: 10_000,
  slowShare: 0.5,
  slowMs: 60_000,
  slowSamples: 20,
  mostCpuPressure: 0.25,
  creepShare: 0.25,
  creepBytes: 512 * MIB,
  creepLooks: 6,
  creepLookMs: 30_000,
  creepStepBytes: MIB,
  recyclePeriodMs: 3600_000,
  cooldownMs: 30_000,
  maxLoadCrashes: 3,
  unlistedMs: 10_000,
  renewMs: 5_000,
  heatHalfLifeMs: 300_000,
  leastStayMs: 10_000,
  overdueMs: 5_000,
  settleMs: 5_000,
  quietMs: 1_000,
  settlePollMs: 250,
  quarantineLookMs: 5_000,
  quarantineMs: 600_000,
  spareHosts: 1,
  spareDelayMs: 500,
  spareRetryMs: 60_000,
  cpuHeadroomBytes: 256 * MIB,
  gpuHeadroomBytes: 256 * MIB,
  cpuOverheadBytes: 64 * MIB,
  gpuOverheadBytes: 512 * MIB,
  nodeCommandMs: 10_000,
  nodeWorkMs: 60_000,
  hostCommandMs: 10_000,
  closeMs: 15_000,
};
