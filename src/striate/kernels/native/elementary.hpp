// Activations and their slopes, a vector at a time.
#pragma once

#include "vec.hpp"

namespace striate {

// Every activation has value(z) and gradient(g, z): the output's gradient g times the slope at z.
// What is not a number stays so in both.

struct Identity {
  static STRIATE_INLINE vec value(vec z) { return z; }
  static STRIATE_INLINE vec gradient(vec g, vec) { return g; }
};

struct Relu {
  // max() gives its second argument where one is not a number.
  static STRIATE_INLINE vec value(vec z) { return max(vec{}, z); }
  static STRIATE_INLINE vec gradient(vec g, vec z) { return select(z <= 0.0f, vec{}, g); }
};

STRIATE_INLINE vec clamp(vec x, float low, float high) {
  return min(splat(high), max(splat(low), x));
}

struct Relu6 {
  static STRIATE_INLINE vec value(vec z) { return clamp(z, 0.0f, 6.0f); }
  static STRIATE_INLINE vec gradient(vec g, vec z) {
    return select(z <= 0.0f, vec{}, select(z >= 6.0f, vec{}, g));
  }
};

STRIATE_INLINE vec sigmoid(vec x) { return 1.0f / (1.0f + exp(-x)); }

// The normal distribution's share below x, and its density without the factor 1/sqrt(2 pi).
// Below zero it is density times Mills' ratio R; R(a) = t Q(t), t = 1 / (1 + 0.2674 a), where Q is
// the polynomial of degree 8 of least largest relative error on 0 <= a <= 14 (1.7e-8).
struct Normal {
  vec share, density;
  explicit STRIATE_INLINE Normal(vec x) {
    const vec a = abs(x);
    density = exp(a * a * -0.5f);
    const vec t = 1.0f / (1.0f + a * 0.26739129424f);
    vec q = splat(0.0299964324f);
    q = q * t - 0.135865152f;
    q = q * t + 0.194527909f;
    q = q * t - 0.0929766223f;
    q = q * t + 0.122778386f;
    q = q * t + 0.0663256496f;
    q = q * t + 0.10216438f;
    q = q * t + 0.106362022f;
    q = q * t + 0.106687002f;
    const vec below = density * (q * t);
    share = select(x < 0.0f, below, 1.0f - below);
  }
};

// x times the normal distribution's share below x (Hendrycks and Gimpel 2016). Beyond the
// clamped range the share is 0 or 1 to float32.
struct Gelu {
  static constexpr float FAR = 12.5f;
  static STRIATE_INLINE vec value(vec z) {
    return max(splat(-FAR), z) * Normal(clamp(z, -FAR, FAR)).share;
  }
  static STRIATE_INLINE vec gradient(vec g, vec z) {
    const vec x = clamp(z, -FAR, FAR);
    const Normal normal(x);
    return g * (x * normal.density * 0.3989422804f + normal.share);
  }
};

// Its approximation x sigmoid(2u), u = sqrt(2 / pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr float FAR = 9.5f, TWICE = 1.5957691216f, CUBE = 0.044715f;
  static STRIATE_INLINE vec value(vec z) {
    const vec x = clamp(z, -FAR, FAR);
    return max(splat(-FAR), z) * sigmoid(x * (x * x * (TWICE * CUBE) + TWICE));
  }
  static STRIATE_INLINE vec gradient(vec g, vec z) {
    const vec x = clamp(z, -FAR, FAR), square = x * x;
    const vec s = sigmoid(x * (square * (TWICE * CUBE) + TWICE));
    const vec inner = x * (square * (3 * TWICE * CUBE) + TWICE);
    return g * (s * (1.0f - s) * inner + s);
  }
};

struct Silu {
  static constexpr float FAR = 80.0f;
  static STRIATE_INLINE vec value(vec z) {
    const vec x = max(splat(-FAR), z);
    return x * sigmoid(x);
  }
  static STRIATE_INLINE vec gradient(vec g, vec z) {
    const vec x = clamp(z, -FAR, FAR), s = sigmoid(x);
    return g * (s * (1.0f - s) * x + s);
  }
};

// The hyperbolic tangent: x P(x^2) / Q(x^2), the polynomials of degree 4 of least largest relative
// error on 0 < x <= 9.02 (2.1e-8). Their coefficients are positive: no digits cancel. Beyond, it is
// 1 to float32.
STRIATE_INLINE vec tanh(vec z) {
  const vec x = clamp(z, -9.02f, 9.02f), u = x * x;
  vec p = u * 1.332064857777022e-8f + 2.058470257558635e-5f;
  p = p * u + 3.49411243822379e-3f;
  p = p * u + 0.13379784786676593f;
  p = p * u + 0.9999999794281809f;
  vec q = u * 7.762689371480959e-7f + 3.283217610683517e-4f;
  q = q * u + 2.5871373364141408e-2f;
  q = q * u + 0.4671310012482961f;
  q = q * u + 1.0f;
  return clamp(x * p / q, -1.0f, 1.0f);
}

struct Tanh {
  static STRIATE_INLINE vec value(vec z) { return tanh(z); }
  static STRIATE_INLINE vec gradient(vec g, vec z) {
    const vec y = tanh(z);
    return g * (1.0f - y * y);
  }
};

// What normalisation makes of a value, by the statistics of its channel.
STRIATE_INLINE vec normalised(vec x, vec mean, vec scale, vec shift) {
  return (x - mean) * scale + shift;
}

// Calls body with the activation of a number as in operators/activation.py; false if unknown.
template <typename F>
bool with_activation(int number, F&& body) {
  switch (number) {
    case 0: body(Identity{}); return true;
    case 1: body(Relu{}); return true;
    case 2: body(Gelu{}); return true;
    case 3: body(GeluTanh{}); return true;
    case 4: body(Silu{}); return true;
    case 5: body(Tanh{}); return true;
    case 6: body(Relu6{}); return true;
    default: return false;
  }
}

}  // namespace striate
