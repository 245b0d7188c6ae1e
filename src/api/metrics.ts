/**
 * Figures in the text format that Prometheus reads: memory predicted, held and seen, by model and by device, and how processes
 * are. A pure view over the pool's status; counts nothing itself.
 */
import { bytesOf, type DeviceBytes } from '../pool/ledger.js';
import type { ModelStatus, PoolStatus } from '../pool/pool.js';

/** Content type of the format. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

function family(name: string, help: string, samples: readonly Sample[]): readonly string[] {
  const lines = samples.map(({ labels, value }) => {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escaped(text)}"`);
    return `${name}{${pairs.join(',')}} ${String(value)}`;
  });
  return [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`, ...lines];
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function modelSamples({ name, planned, extra, allocated, measured }: ModelStatus): readonly Sample[] {
  const ofPlan = (plan: typeof planned): DeviceBytes => (plan === undefined ? {} : bytesOf(plan));
  const kinds = { planned: ofPlan(planned), extra, allocated: ofPlan(allocated), measured };
  return Object.entries(kinds).flatMap(([kind, bytes]) =>
    Object.entries(bytes ?? {}).map(([device, value]) => ({ labels: { model: name, device, kind }, value })),
  );
}

function deviceSamples({ nid, ledger }: PoolStatus['nodes'][number]): readonly Sample[] {
  return ledger.flatMap(({ device, ...row }) =>
    Object.entries(row).map(([kind, value]) => ({
      labels: { node: nid, device, kind: kind.replace(/Bytes$/, '') },
      value,
    })),
  );
}

function healthSamples({ name, health }: ModelStatus): readonly Sample[] {
  return health === undefined ? [] : [{ labels: { model: name, verdict: health.verdict }, value: 1 }];
}

function speedSamples({ name, health }: ModelStatus): readonly Sample[] {
  const { speedRatio } = health ?? {};
  return speedRatio === undefined ? [] : [{ labels: { model: name }, value: speedRatio }];
}

/** The whole text, ending in a new line. */
export function metricsText({ models, nodes, vigil }: PoolStatus): string {
  const barred = nodes.flatMap(({ nid, ledger, quarantines }) =>
    ledger.map(({ device }) => ({
      labels: { node: nid, device },
      value: Number(quarantines.some((quarantine) => quarantine.device === device)),
    })),
  );
  const stuck = models.map(({ name }) => ({
    labels: { model: name },
    value: Number(vigil.neglects.some(({ model }) => model === name)),
  }));
  const lag = { labels: {}, value: vigil.eventLoopLagMs / 1000 };
  const pressure = { labels: {}, value: vigil.cpuPressure };
  const crashes = models.map(({ name, crashes: value }) => ({ labels: { model: name }, value }));
  const lines = [
    ...family('llamaestro_model_memory_bytes', 'Memory of a model on a device.', models.flatMap(modelSamples)),
    ...family('llamaestro_device_memory_bytes', 'The account of a device.', nodes.flatMap(deviceSamples)),
    ...family('llamaestro_model_health', 'How the process of a model is, in one word.', models.flatMap(healthSamples)),
    ...family('llamaestro_model_speed_ratio', 'Tokens per second over those usual.', models.flatMap(speedSamples)),
    ...family('llamaestro_cpu_pressure', 'Share of time in which something waited for a CPU.', [pressure]),
    ...family('llamaestro_model_crashes', 'Processes of a model that ended or hung by themselves.', crashes),
    ...family('llamaestro_scheduler_stuck', '1 while requests of a model wait for nobody.', stuck),
    ...family('llamaestro_event_loop_lag_seconds', 'How late a timer of the gateway came, at worst, of late.', [lag]),
    ...family('llamaestro_device_quarantined', '1 while a device did not return to its ledger.', barred),
  ];
  return `${lines.join('\n')}\n`;
}
