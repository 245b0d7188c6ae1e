/** Which models of a profile are loaded and unloaded as one. */
import { expect } from 'chai';
import { isIn, loadsOf, unitOf, unitsOf } from '../../src/pool/unit.js';
import { modelSpec } from '../support/profiles.js';

describe('unit', () => {
  const shared = { host: 'small' };
  const names = (...models: Parameters<typeof unitsOf>[0]): string[] => unitsOf(models).map(({ name }) => name);

  it('is one model by itself, which it then is in everything', () => {
    const spec = modelSpec('a', { pinned: true, ttlMs: 7, priority: 3, residency: 'resident' });
    const [unit, ...others] = unitsOf([spec]);
    expect(others).to.deep.equal([]);
    expect(unit).to.deep.equal({
      ...{ name: 'a', members: [spec], configHash: 'a', pinned: true, ttlMs: 7, priority: 3, residency: 'resident' },
      available: true,
    });
  });

  it('is all models that name the same host, where the first of them stands', () => {
    const [z, b] = [modelSpec('z', shared), modelSpec('b', shared)];
    expect(names(z, modelSpec('a'), b, modelSpec('c', { host: 'other' }))).to.deep.equal(['b+z', 'a', 'c']);
  });

  it('is worth as much as the one of its models that is worth most', () => {
    const models = [modelSpec('a', { ...shared, ttlMs: 9, priority: 1 }), modelSpec('b', { pinned: true, ttlMs: 5 })];
    expect(unitOf(models)).to.include({ pinned: true, ttlMs: 9, priority: 5, residency: 'on-demand' });
  });

  it('leaves a model without a file to itself, so that the others serve', () => {
    const missing = modelSpec('b', { ...shared, available: false });
    expect(names(modelSpec('a', shared), missing, modelSpec('c', shared))).to.deep.equal(['a+c', 'b']);
  });

  it('may keep its process only where names and configurations of all its models are the same', () => {
    const hash = (...models: readonly ReturnType<typeof modelSpec>[]): string => unitOf(models).configHash;
    const [a, b] = [modelSpec('a', shared), modelSpec('b', shared)];
    expect(hash(b, a)).to.equal(hash(a, b));
    expect(hash(modelSpec('a', { host: 'elsewhere', ttlMs: 1 }), b)).to.equal(hash(a, b));
    const others = [hash(a), hash(a, b, modelSpec('c')), hash(a, modelSpec('b', { configHash: 'x' }))];
    const renamed = hash(a, modelSpec('c', { configHash: 'b' }));
    expect(others.concat(renamed)).to.not.include(hash(a, b));
  });

  it('knows its models by its name', () => {
    expect(['a', 'b', 'a+b', 'c'].filter((name) => isIn('a+b', name))).to.deep.equal(['a', 'b']);
    expect(isIn('ab', 'a')).to.equal(false);
  });

  it('loads each of its models under its name, with the lock that all share unless it has its own', () => {
    const own = modelSpec('b', { load: { file: '/b', purpose: 'embed', stepLock: '/mine' } });
    const loads = loadsOf(unitOf([own, modelSpec('a')]), '/lock');
    expect(loads.map(({ model, load }) => [model, load.stepLock])).to.deep.equal([
      ['a', '/lock'],
      ['b', '/mine'],
    ]);
  });
});
