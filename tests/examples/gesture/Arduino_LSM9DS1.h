/* The sensor of a Nano 33 BLE: g and degrees a second, as the library of this name returns them. */
#ifndef ARDUINO_LSM9DS1_H
#define ARDUINO_LSM9DS1_H

struct Sensor {
    int begin() { return 1; }
    int readAcceleration(float &x, float &y, float &z);
    int readGyroscope(float &x, float &y, float &z);
};
extern Sensor IMU;

#endif
