// The view in space: scan and completion as small spheres, in two halves that turn together, or in one place.
import {
  BufferAttribute, BufferGeometry, Color, Group, Mesh, PerspectiveCamera, PlaneGeometry, Points, Scene, ShaderMaterial,
  Spherical, Vector3, WebGLRenderer,
} from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";

const SCAN = 1, COMPLETION = 2; // Layers.
const START = new Spherical(1, 1.08, 0.92); // The front is +x.
const ASIDE = 1.2; // Radians.
const TURN = 1.1, GROWING = 1500; // Radians that the view turns while points come in, and how long in ms.
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

const VERTEX = `
attribute vec3 origin; attribute float fresh;
uniform vec3 known, added; uniform float grown, size, pixels, near, far;
varying vec3 tint; varying float haze;
void main() {
  float late = 0.45 * fract(sin(dot(position, vec3(12.99, 78.23, 37.72))) * 4375.85);
  float t = clamp((grown - late) / 0.55, 0.0, 1.0);
  t = 1.0 - pow(1.0 - t, 3.0);
  vec4 seen = modelViewMatrix * vec4(mix(origin, position, t), 1.0);
  gl_Position = projectionMatrix * seen;
  gl_PointSize = max(1.5, size * pixels / -seen.z * mix(0.35, 1.0, t));
  tint = mix(known, added, smoothstep(0.012, 0.05, fresh));
  haze = clamp((-seen.z - near) / (far - near), 0.0, 1.0);
}`;
const FRAGMENT = `
uniform vec3 air; uniform float lit;
varying vec3 tint; varying float haze;
void main() {
  vec2 at = gl_PointCoord * 2.0 - 1.0;
  float off = dot(at, at), edge = fwidth(off);
  if (off > 1.0) discard;
  float facing = dot(vec3(at.x, -at.y, sqrt(1.0 - off)), normalize(vec3(-0.35, 0.7, 0.62)));
  vec3 color = tint * mix(0.62, 1.12, clamp(facing * 0.5 + 0.5, 0.0, 1.0)) + lit * pow(max(facing, 0.0), 12.0);
  gl_FragColor = vec4(mix(color, air, 0.62 * haze), 1.0 - smoothstep(1.0 - edge, 1.0, off));
}`;
const SHADOW = {
  vertexShader: "varying vec2 at; void main() { at = uv * 2.0 - 1.0; gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }",
  fragmentShader: "uniform float strength; varying vec2 at; void main() { float r = length(at); gl_FragColor = vec4(0.0, 0.0, 0.0, strength * pow(max(0.0, 1.0 - r), 1.7)); }",
};

// The direction, nearest to the front, from which both what was measured and what was added lie in view.
function aside(added) {
  const off = (angle) => Math.abs(Math.atan2(Math.sin(angle - START.theta), Math.cos(angle - START.theta)));
  return [added - ASIDE, added + ASIDE].sort((a, b) => off(a) - off(b))[0];
}

export class Stage {
  // Throws where the browser has no WebGL.
  constructor(canvas) {
    this.canvas = canvas;
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true, preserveDrawingBuffer: true });
    this.renderer.autoClear = false;
    this.camera = new PerspectiveCamera(28, 1, 0.05, 60);
    this.scene = new Scene();
    this.clouds = new Group();
    this.uniforms = Object.fromEntries(["known", "added", "air"].map((name) => [name, { value: new Color() }]));
    Object.assign(this.uniforms, { grown: { value: 1 }, pixels: { value: 1 }, lit: { value: 0.1 }, near: { value: 1 }, far: { value: 2 } });
    this.shadow = new Mesh(new PlaneGeometry(1, 1), new ShaderMaterial({ ...SHADOW, transparent: true, depthWrite: false, uniforms: { strength: { value: 0.2 } } }));
    this.shadow.rotation.x = -Math.PI / 2;
    this.shadow.layers.enable(SCAN);
    this.shadow.layers.enable(COMPLETION);
    this.shadow.visible = false;
    this.scene.add(this.shadow, this.clouds);
    this.controls = new OrbitControls(this.camera, canvas);
    Object.assign(this.controls, { enableDamping: !STILL.matches, dampingFactor: 0.09, enablePan: false, rotateSpeed: 0.9, minDistance: 0.4, maxDistance: 12 });
    this.controls.addEventListener("change", () => this.later());
    this.controls.addEventListener("start", () => { this.turning = 0; });
    this.view = "split";
    this.start = START;
    this.began = -Infinity;
    this.turning = 0;
    this.reset();
    new ResizeObserver(() => { this.fit(); this.later(); }).observe(canvas);
  }

  // Points `(N, 3)` in the network's frame; `origin` is where a completed point comes from, `fresh` how far that is.
  show(scan, completed, origin, fresh) {
    for (const old of this.clouds.children) { old.geometry.dispose(); old.material.dispose(); }
    this.clouds.clear();
    this.clouds.add(this.cloud(scan, scan, new Float32Array(scan.length / 3), SCAN));
    this.clouds.add(this.cloud(completed, origin, fresh, COMPLETION));
    let low = 0, reach = 0.2, x = 0, z = 0;
    for (let i = 0; i < completed.length; i += 3) {
      low = Math.min(low, completed[i + 1]);
      reach = Math.max(reach, Math.hypot(completed[i], completed[i + 2]));
      x += completed[i] * fresh[i / 3];
      z += completed[i + 2] * fresh[i / 3];
    }
    this.start = START.clone();
    this.start.theta = aside(Math.atan2(x, z));
    this.shadow.position.y = low - 0.012;
    this.shadow.scale.setScalar(3 * reach);
    this.shadow.visible = true;
    this.began = performance.now();
    this.turning = STILL.matches ? 0 : TURN;
    this.turned = 0;
    this.reset();
    this.turn(-this.turning, 0);
    this.later();
  }

  cloud(points, origin, fresh, layer) {
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(points, 3));
    geometry.setAttribute("origin", new BufferAttribute(origin, 3));
    geometry.setAttribute("fresh", new BufferAttribute(fresh, 1));
    // A few points are large, many are small; as disks they cover the same surface.
    const size = Math.min(0.02, Math.max(0.0035, 0.72 / Math.sqrt(fresh.length)));
    const material = new ShaderMaterial({
      vertexShader: VERTEX, fragmentShader: FRAGMENT, alphaToCoverage: true,
      uniforms: { ...this.uniforms, size: { value: size } },
    });
    const cloud = new Points(geometry, material);
    cloud.layers.set(layer);
    cloud.frustumCulled = false;
    return cloud;
  }

  look({ measured, added, air, dark }) {
    this.uniforms.known.value.set(measured).convertLinearToSRGB();
    this.uniforms.added.value.set(added).convertLinearToSRGB();
    this.uniforms.air.value.set(air).convertLinearToSRGB();
    this.uniforms.lit.value = dark ? 0.1 : 0.16;
    this.shadow.material.uniforms.strength.value = dark ? 0.55 : 0.16;
    this.later();
  }

  arrange(view) {
    this.view = view;
    this.fit();
    this.later();
  }

  // The halves of the stage in pixels of the page, and what each shows.
  halves() {
    const width = this.canvas.clientWidth || 1, height = this.canvas.clientHeight || 1, tall = height > 1.1 * width;
    this.canvas.parentElement.classList.toggle("tall", tall);
    if (this.view === "overlay") return [{ x: 0, y: 0, width, height, layers: [SCAN, COMPLETION] }];
    const half = tall ? { width, height: height / 2 } : { width: width / 2, height };
    return [
      { ...half, x: 0, y: tall ? half.height : 0, layers: [SCAN] },
      { ...half, x: tall ? 0 : half.width, y: 0, layers: [COMPLETION] },
    ];
  }

  // As far away as it takes to see the whole shape; how near the user had come stays.
  fit() {
    const [{ width, height }] = this.halves(), slope = Math.tan((this.camera.fov * Math.PI) / 360);
    const distance = 0.53 / Math.min(slope, (slope * width) / height) + 0.2;
    if (this.distance) this.camera.position.multiplyScalar(distance / this.distance);
    this.distance = distance;
  }

  reset() {
    this.fit();
    this.camera.position.setFromSpherical(this.start).multiplyScalar(this.distance);
    this.controls.target.set(0, 0, 0);
    this.controls.update();
    this.later();
  }

  turn(right, down) {
    const place = new Spherical().setFromVector3(this.camera.position);
    place.theta += right;
    place.phi += down;
    this.camera.position.setFromSpherical(place.makeSafe());
    this.controls.update();
    this.later();
  }

  zoom(factor) {
    const distance = this.camera.position.length();
    this.camera.position.setLength(Math.min(12, Math.max(0.4, distance / factor)));
    this.controls.update();
    this.later();
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.draw(); });
  }

  draw() {
    const part = Math.min(1, (performance.now() - this.began) / GROWING), moving = part < 1 && !STILL.matches;
    this.uniforms.grown.value = moving ? part : 1;
    if (this.turning) {
      const eased = this.turning * (1 - (1 - part) ** 3);
      this.turn(eased - this.turned, 0);
      this.turned = eased;
      if (!moving) this.turning = 0;
    }
    this.controls.update();
    const ratio = Math.min(devicePixelRatio || 1, 2), { clientWidth: width, clientHeight: height } = this.canvas;
    const size = this.renderer.getSize(new Vector3());
    if (size.x !== width || size.y !== height || this.renderer.getPixelRatio() !== ratio) {
      this.renderer.setPixelRatio(ratio);
      this.renderer.setSize(width, height, false);
    }
    this.renderer.setScissorTest(false);
    this.renderer.clear();
    this.renderer.setScissorTest(true);
    const away = this.camera.position.length();
    this.uniforms.near.value = away - 0.25;
    this.uniforms.far.value = away + 0.75;
    for (const half of this.halves()) {
      this.renderer.setViewport(half.x, half.y, half.width, half.height);
      this.renderer.setScissor(half.x, half.y, half.width, half.height);
      this.camera.aspect = half.width / half.height;
      this.camera.updateProjectionMatrix();
      this.camera.layers.disableAll();
      half.layers.forEach((layer) => this.camera.layers.enable(layer));
      // How many pixels a length of 1 takes at a distance of 1.
      this.uniforms.pixels.value = (half.height * ratio) / (2 * Math.tan((this.camera.fov * Math.PI) / 360));
      this.renderer.render(this.scene, this.camera);
    }
    if (moving) this.later();
  }
}
