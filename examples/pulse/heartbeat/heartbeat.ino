// Blinks at each heart beat and prints the rate, from an optical pulse sensor on a finger.
//
// Copy the folder Pulse into Arduino/libraries, and open this sketch. An analog sensor gives its signal
// to A0. For a MAX30102 at SDA and SCL take the comment signs off the next line.
// #define SENSOR_MAX30102

#include <Pulse.h>

#include "beat.h"
#include "sensor.h"

static pulse_state network;
static beat_scale scale;
static beat_finder finder;
static unsigned long next;

static void start() {
  pulse_reset(&network);
  scale = beat_scale();
  finder = beat_finder();
  digitalWrite(LED_BUILTIN, LOW);
}

void setup() {
  Serial.begin(115200);
  pinMode(LED_BUILTIN, OUTPUT);
  if (!sensor_begin()) {
    Serial.println("no sensor");
    while (true) delay(1000);
  }
  start();
  next = micros();
}

void loop() {
  if ((long)(micros() - next) < 0) return;
  next += 1000000ul / BEAT_RATE;

  float count, probability;
  if (!sensor_read(&count)) return start();  // no finger

  const float x = beat_scaled(&scale, count);
  pulse_step(&network, &x, &probability);

  if (beat_found(&finder, probability)) {
    digitalWrite(LED_BUILTIN, HIGH);
    if (beat_rate(&finder) > 0) Serial.println(beat_rate(&finder), 0);
  } else if (finder.now - finder.last > BEAT_RATE / 10) {
    digitalWrite(LED_BUILTIN, LOW);
  }
}
