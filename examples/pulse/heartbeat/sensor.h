// A sensor that is read 50 times a second: its signal rises when the heart beats.
#ifndef SENSOR_H
#define SENSOR_H

#ifdef SENSOR_MAX30102

#include <Wire.h>

// Registers of the MAX30102, from its data sheet.
enum {
  MAX30102 = 0x57,
  FIFO_WRITE = 0x04,  // three registers: where it writes, what it lost, where we read
  FIFO_READ = 0x06,
  FIFO_DATA = 0x07,
  FIFO_CONFIG = 0x08,
  MODE = 0x09,
  SPO2_CONFIG = 0x0A,
  RED_CURRENT = 0x0C,
  INFRARED_CURRENT = 0x0D,
  SLOTS = 0x11,
  PART = 0xFF,
};

static void max30102_write(uint8_t at, uint8_t value) {
  Wire.beginTransmission(MAX30102);
  Wire.write(at);
  Wire.write(value);
  Wire.endTransmission();
}

// Asks for bytes from a register on; Wire.read() gives them.
static void max30102_ask(uint8_t at, uint8_t count) {
  Wire.beginTransmission(MAX30102);
  Wire.write(at);
  Wire.endTransmission(false);
  Wire.requestFrom((uint8_t)MAX30102, count);
}

static bool sensor_begin() {
  Wire.begin();
  max30102_ask(PART, 1);
  if (Wire.read() != 0x15) return false;
  max30102_write(MODE, 0x40);  // reset
  delay(10);
  max30102_write(FIFO_CONFIG, 0x50);       // means of 4 samples; the newest overwrite the oldest
  max30102_write(SPO2_CONFIG, 0x2F);       // 400 a second, 18 bits up to 4096 nA
  max30102_write(RED_CURRENT, 0x00);
  max30102_write(INFRARED_CURRENT, 0x24);  // 7 mA
  max30102_write(SLOTS, 0x02);             // the infrared LED alone
  max30102_write(MODE, 0x07);
  return true;
}

// The newest of the samples so far: infrared light that comes back from the finger.
static float max30102_light() {
  static float newest;
  max30102_ask(FIFO_WRITE, 3);
  const uint8_t to = Wire.read();
  Wire.read();
  const uint8_t from = Wire.read();
  for (uint8_t left = (to - from) & 31; left > 0; --left) {
    max30102_ask(FIFO_DATA, 3);
    uint32_t value = 0;
    for (int i = 0; i < 3; ++i) value = value << 8 | (uint8_t)Wire.read();
    newest = value & 0x3FFFF;
  }
  return newest;
}

// Whether there is a finger, and its signal. Blood takes light away: the sign turns it.
static bool sensor_read(float *count) {
  *count = -max30102_light();
  return *count < -50000.0f;
}

#else

static bool sensor_begin() { return true; }

// Air and finger look alike to an analog sensor.
static bool sensor_read(float *count) {
  *count = analogRead(A0);
  return true;
}

#endif

#endif
